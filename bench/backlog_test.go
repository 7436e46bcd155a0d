package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// databases are those that an outbox can be in. PostgreSQL is measured where OUTBOX_POSTGRES_DSN names an
// empty database.
func databases(b *testing.B) map[string]outbox.Config {
	b.Helper()
	found := map[string]outbox.Config{"sqlite": {SQLite: filepath.Join(b.TempDir(), "outbox.db")}}
	if dsn := os.Getenv("OUTBOX_POSTGRES_DSN"); dsn != "" {
		found["postgres"] = outbox.Config{Postgres: dsn}
	}
	return found
}

// unbounded lets a million entries wait.
const unbounded = 1 << 30

// fill puts n entries with 64 callers, and returns when they are stored.
func fill(b *testing.B, o *outbox.Outbox, name string, n int) {
	b.Helper()
	next := make(chan int)
	var calling sync.WaitGroup
	for range 64 {
		calling.Go(func() {
			for i := range next {
				if _, err := o.Put(context.Background(), outbox.New{
					Key: fmt.Sprint(name, i), Sender: "example.com", Content: payload,
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	calling.Wait()
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
	for name, config := range databases(b) {
		b.Run(name, func(b *testing.B) {
			const backlog = 20_000
			c := newClient(b)
			o, err := outbox.Open(b.Context(), config, outbox.Settings{
				Senders: []string{"example.com"}, Deliverer: c, MaxPending: unbounded,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			for n := 0; b.Loop(); n++ {
				fill(b, o, fmt.Sprint(b.Name(), time.Now().UnixNano(), n), backlog)
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
// with -benchtime 1x.
func BenchmarkAcceptDuringDrain(b *testing.B) {
	for name, config := range databases(b) {
		b.Run(name, func(b *testing.B) {
			c := newClient(b)
			o, err := outbox.Open(b.Context(), config, outbox.Settings{
				Senders: []string{"example.com"}, Deliverer: c, MaxPending: unbounded,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			run := fmt.Sprint(b.Name(), time.Now().UnixNano())
			fill(b, o, run, 100_000)
			if err := o.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			var all []time.Duration
			for b.Loop() {
				for n := range 4000 {
					time.Sleep(5 * time.Millisecond)
					started := time.Now()
					if _, err := o.Put(b.Context(), outbox.New{
						Key: fmt.Sprint(run, "new", n), Sender: "example.com", Content: payload,
					}); err != nil {
						b.Fatal(err)
					}
					all = append(all, time.Since(started))
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
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
	for name, config := range databases(b) {
		b.Run(name, func(b *testing.B) {
			o, err := outbox.Open(b.Context(), config, outbox.Settings{MaxPending: unbounded})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			run := fmt.Sprint(b.Name(), time.Now().UnixNano())
			for b.Loop() {
				fill(b, o, run, 1000)
				b.ReportMetric(resident(b), "MB-with-1000")
				fill(b, o, run+"more", most-1000)
				b.ReportMetric(resident(b), fmt.Sprintf("MB-with-%d", most))
			}
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
