package bench

// bench/outbox compiles this file with the former version of the outbox too: it uses what both have.

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

var (
	payload = bytes.Repeat([]byte("x"), 4096)
	callers = []int{1, 16, 64}
)

// unbounded lets a million entries wait.
const unbounded = 1 << 30

// databases returns what opens an empty database. PostgreSQL is measured where OUTBOX_POSTGRES_DSN is set, in a
// schema that is dropped afterwards.
func databases() map[string]func(b *testing.B) outbox.Config {
	found := map[string]func(b *testing.B) outbox.Config{"sqlite": func(b *testing.B) outbox.Config {
		return outbox.Config{SQLite: filepath.Join(b.TempDir(), "outbox.db")}
	}}
	if dsn := os.Getenv("OUTBOX_POSTGRES_DSN"); dsn != "" {
		found["postgres"] = func(b *testing.B) outbox.Config { return outbox.Config{Postgres: inSchema(b, dsn)} }
	}
	return found
}

// inSchema returns the DSN of a new schema.
func inSchema(b *testing.B, dsn string) string {
	b.Helper()
	location, err := url.Parse(dsn)
	if err != nil {
		b.Fatal(err)
	}
	schema := fmt.Sprint("bench_", time.Now().UnixNano())
	execute := func(statement string) {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			b.Fatal(err)
		}
	}
	execute("CREATE SCHEMA " + schema)
	b.Cleanup(func() { execute("DROP SCHEMA " + schema + " CASCADE") })
	query := location.Query()
	query.Set("search_path", schema)
	location.RawQuery = query.Encode()
	return location.String()
}

// open opens an outbox that is closed before its database is removed.
func open(b *testing.B, config outbox.Config, settings outbox.Settings) *outbox.Outbox {
	b.Helper()
	settings.MaxPending = unbounded
	settings.Senders = []string{"example.com"}
	o, err := outbox.Open(b.Context(), config, settings)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = o.Close() })
	return o
}

// call has the callers call put with 0 to n-1, and returns when all of them have.
func call(b *testing.B, callers, n int, put func(n int) error) {
	b.Helper()
	var calling sync.WaitGroup
	var next atomic.Int64
	for range callers {
		calling.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := put(int(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	calling.Wait()
}

// entry is an entry with a key of its own.
func entry(n int) outbox.New {
	return outbox.New{Key: fmt.Sprint("key ", n), Sender: "example.com", Content: payload}
}

// each runs a benchmark for each database and number of callers.
func each(b *testing.B, run func(b *testing.B, config outbox.Config, callers int)) {
	b.Helper()
	for name, config := range databases() {
		for _, callers := range callers {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) { run(b, config(b), callers) })
		}
	}
}

// meter reports what was done a second, and the CPU of this process for each.
type meter struct {
	started time.Time
	cpu     time.Duration
}

func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // never fails
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func newMeter(b *testing.B) meter {
	b.ResetTimer()
	return meter{time.Now(), cpu()}
}

func (m meter) report(b *testing.B, unit string) {
	b.ReportMetric(float64(b.N)/time.Since(m.started).Seconds(), unit)
}

func (m meter) reportCPU(b *testing.B) {
	b.ReportMetric(float64((cpu()-m.cpu).Microseconds())/float64(b.N), "µs-CPU/entry")
}

// free delivers at no cost.
type free struct {
	left atomic.Int64
	all  chan struct{}
}

func (f *free) Deliver(context.Context, outbox.Delivery) outbox.Result {
	if f.left.Add(-1) == 0 {
		close(f.all)
	}
	return outbox.Result{Verdict: outbox.VerdictSent}
}

// BenchmarkDeliver accepts and delivers at once, until all outcomes are stored.
func BenchmarkDeliver(b *testing.B) {
	each(b, func(b *testing.B, config outbox.Config, callers int) {
		f := &free{all: make(chan struct{})}
		f.left.Store(int64(b.N))
		o := open(b, config, outbox.Settings{Deliverer: f})
		if err := o.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		m := newMeter(b)
		call(b, callers, b.N, func(n int) error {
			_, err := o.Put(context.Background(), entry(n))
			return err
		})
		m.report(b, "accepted/s")
		<-f.all
		for o.Undelivered() > 0 {
			time.Sleep(time.Millisecond)
		}
		m.report(b, "delivered/s")
		m.reportCPU(b)
	})
}

// BenchmarkAccept accepts entries that are not delivered.
func BenchmarkAccept(b *testing.B) {
	each(b, func(b *testing.B, config outbox.Config, callers int) {
		o := open(b, config, outbox.Settings{})
		m := newMeter(b)
		call(b, callers, b.N, func(n int) error {
			_, err := o.Put(context.Background(), entry(n))
			return err
		})
		m.report(b, "accepted/s")
		m.reportCPU(b)
	})
}

// BenchmarkClaim does what a sync hook asks of the outbox: an entry that its caller delivers, and settles.
func BenchmarkClaim(b *testing.B) {
	each(b, func(b *testing.B, config outbox.Config, callers int) {
		o := open(b, config, outbox.Settings{})
		m := newMeter(b)
		call(b, callers, b.N, func(n int) error {
			entry := entry(n)
			entry.Claim = time.Hour
			receipt, err := o.Put(context.Background(), entry)
			if err != nil {
				return err
			}
			return o.Settle(context.Background(), receipt.ID, entry, outbox.Result{Verdict: outbox.VerdictSent})
		})
		m.report(b, "settled/s")
		m.reportCPU(b)
	})
}

// BenchmarkLatency measures from the acceptance of an entry to the start of its delivery, on an idle outbox.
func BenchmarkLatency(b *testing.B) {
	for name, config := range databases() {
		b.Run(name, func(b *testing.B) {
			started := make(chan time.Time)
			o := open(b, config(b), outbox.Settings{Deliverer: deliverer(started)})
			if err := o.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			var all []time.Duration
			for n := range b.N {
				// The former version fetched no sooner than some milliseconds after the last time.
				time.Sleep(20 * time.Millisecond)
				if _, err := o.Put(b.Context(), entry(n)); err != nil {
					b.Fatal(err)
				}
				accepted := time.Now()
				all = append(all, (<-started).Sub(accepted))
			}
			reportPercentiles(b, all)
		})
	}
}

// reportPercentiles reports the median and the 99th percentile.
func reportPercentiles(b *testing.B, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

type deliverer chan time.Time

func (d deliverer) Deliver(context.Context, outbox.Delivery) outbox.Result {
	d <- time.Now()
	return outbox.Result{Verdict: outbox.VerdictSent}
}
