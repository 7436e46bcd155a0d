package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// fill puts n entries with 64 callers, and returns when they are stored. Their keys begin with the first number.
func fill(b *testing.B, o *outbox.Outbox, first, n int) {
	b.Helper()
	call(b, 64, n, func(n int) error {
		_, err := o.Put(context.Background(), entry(first+n))
		return err
	})
}

// client sends to a sandbox that answers after 50 ms.
type client struct {
	*mandrill.Client
	request *mandrill.Request
	sent    chan struct{}
}

func newClient(b *testing.B) *client {
	b.Helper()
	mails := sandbox.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		mails.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	policy, err := mandrill.NewPolicy([]string{"example.com"}, "", "")
	if err != nil {
		b.Fatal(err)
	}
	c := &client{sent: make(chan struct{}, 1<<20)}
	if c.request, err = mandrill.ParseRequest([]byte(`{"message":{"from_email":"hello@example.com",`+
		`"to":[{"email":"grace@example.net"}],"text":"Hi"}}`), policy); err != nil {
		b.Fatal(err)
	}
	if c.Client, err = mandrill.New("key", mandrill.WithBaseURL(server.URL+"/api/1.0")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.CloseIdleConnections)
	return c
}

func (c *client) Deliver(ctx context.Context, _ outbox.Delivery) outbox.Result {
	if _, err := c.Send(ctx, c.request); err != nil {
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: err.Error()}
	}
	c.sent <- struct{}{}
	return outbox.Result{Verdict: outbox.VerdictSent}
}

// BenchmarkDrain delivers a backlog of 20,000 entries to a sandbox that answers in 50 ms. Run it with -benchtime 1x.
func BenchmarkDrain(b *testing.B) {
	for name, config := range databases() {
		b.Run(name, func(b *testing.B) {
			const backlog = 20_000
			c := newClient(b)
			o := open(b, config(b), outbox.Settings{Deliverer: c})
			for n := range b.N {
				fill(b, o, n*backlog, backlog)
				started := time.Now()
				if err := o.Start(b.Context()); err != nil {
					b.Fatal(err)
				}
				for range backlog {
					<-c.sent
				}
				b.ReportMetric(backlog/time.Since(started).Seconds(), "entries/s")
				if err := o.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAcceptDuringDrain accepts an entry every 5 ms while a backlog of 100,000 is delivered. Run it
// with -benchtime 4000x.
func BenchmarkAcceptDuringDrain(b *testing.B) {
	for name, config := range databases() {
		b.Run(name, func(b *testing.B) {
			const backlog = 100_000
			o := open(b, config(b), outbox.Settings{Deliverer: newClient(b)})
			fill(b, o, 0, backlog)
			if err := o.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			reportPercentiles(b, acceptNow(b, o, backlog, func(accepted int) bool { return accepted == b.N }))
		})
	}
}

// acceptNow accepts an entry every 5 ms until done returns true, and returns how long each took.
func acceptNow(b *testing.B, o *outbox.Outbox, first int, done func(accepted int) bool) (all []time.Duration) {
	b.Helper()
	for n := 0; !done(n); n++ {
		time.Sleep(5 * time.Millisecond)
		started := time.Now()
		if _, err := o.Put(b.Context(), entry(first+n)); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(started))
	}
	return all
}

// BenchmarkForget accepts an entry every 5 ms while 100,000 delivered ones are forgotten. Run it with -benchtime 1x.
func BenchmarkForget(b *testing.B) {
	for name, config := range databases() {
		b.Run(name, func(b *testing.B) {
			const delivered = 100_000
			f := &free{all: make(chan struct{})}
			f.left.Store(delivered)
			o := open(b, config(b), outbox.Settings{Deliverer: f})
			if err := o.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			fill(b, o, 0, delivered)
			<-f.all
			if err := o.Stop(b.Context()); err != nil {
				b.Fatal(err)
			}
			started := time.Now()
			if err := o.Configure(b.Context(), outbox.Settings{Keep: time.Nanosecond, MaxPending: unbounded}); err != nil {
				b.Fatal(err)
			}
			all := acceptNow(b, o, delivered, func(accepted int) bool {
				if accepted%100 != 0 {
					return false
				}
				sent, err := o.List(b.Context(), outbox.Filter{States: []outbox.State{outbox.Sent}, Limit: 1})
				if err != nil {
					b.Fatal(err)
				}
				return len(sent) == 0
			})
			b.ReportMetric(time.Since(started).Seconds(), "s-until-forgotten")
			reportPercentiles(b, all)
		})
	}
}

// BenchmarkPending reports the process's memory with a backlog of a thousand, and then of a million entries, or of
// as many as OUTBOX_BACKLOG says. Run it with -benchtime 1x.
func BenchmarkPending(b *testing.B) {
	most := 1_000_000
	if given := os.Getenv("OUTBOX_BACKLOG"); given != "" {
		var err error
		if most, err = strconv.Atoi(given); err != nil {
			b.Fatal(err)
		}
	}
	for name, config := range databases() {
		b.Run(name, func(b *testing.B) {
			o := open(b, config(b), outbox.Settings{})
			fill(b, o, 0, 1000)
			b.ReportMetric(resident(b), "MB-with-1000")
			fill(b, o, 1000, most-1000)
			b.ReportMetric(resident(b), fmt.Sprintf("MB-with-%d", most))
		})
	}
}

// resident is the resident memory of this process, in MB, after a collection.
func resident(b *testing.B) float64 {
	b.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("there is no /proc/self/status here")
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.Atoi(string(bytes.Fields([]byte(value))[0]))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kilobytes) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
