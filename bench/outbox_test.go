package bench

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

var payload = bytes.Repeat([]byte("x"), 4096)

// BenchmarkAccept compares the acceptance of entries of 4 KB with bare River, batched in the same way, and with an
// append and an fsync for each: durable entries a second, by the number of callers.
func BenchmarkAccept(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d/outbox", callers), func(b *testing.B) {
			o, err := outbox.Open(b.Context(), outbox.Config{SQLite: filepath.Join(b.TempDir(), "outbox.db")}, outbox.Settings{MaxPending: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			accept(b, callers, func(n int) error {
				_, err := o.Put(context.Background(), outbox.New{Key: fmt.Sprint(n), Sender: "example.com", Content: payload})
				return err
			})
		})
		b.Run(fmt.Sprintf("callers=%d/river", callers), func(b *testing.B) {
			insert := bareRiver(b)
			accept(b, callers, insert)
		})
		b.Run(fmt.Sprintf("callers=%d/fsync", callers), func(b *testing.B) {
			file, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			var mu sync.Mutex
			accept(b, callers, func(int) error {
				mu.Lock()
				defer mu.Unlock()
				if _, err := file.Write(payload); err != nil {
					return err
				}
				return file.Sync()
			})
		})
	}
}

// accept has the callers accept b.N entries, and reports how many a second that is.
func accept(b *testing.B, callers int, put func(n int) error) {
	b.Helper()
	next := make(chan int)
	var calling sync.WaitGroup
	b.ResetTimer()
	started := time.Now()
	for range callers {
		calling.Go(func() {
			for n := range next {
				if err := put(n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := range b.N {
		next <- n
	}
	close(next)
	calling.Wait()
	b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "entries/s")
}

// BenchmarkClaim measures what a sync hook asks of the outbox: an entry that its caller claims, and settles.
func BenchmarkClaim(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			o, err := outbox.Open(b.Context(), outbox.Config{SQLite: filepath.Join(b.TempDir(), "outbox.db")}, outbox.Settings{MaxPending: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			accept(b, callers, func(n int) error {
				entry := outbox.New{Key: fmt.Sprint(n), Sender: "example.com", Content: payload, Claim: time.Hour}
				receipt, err := o.Put(context.Background(), entry)
				if err != nil {
					return err
				}
				return o.Settle(context.Background(), receipt.ID, entry, outbox.Result{Verdict: outbox.VerdictSent})
			})
		})
	}
}

type job struct {
	Content []byte `json:"content"`
}

func (job) Kind() string { return "job" }

// bareRiver returns an insertion that commits together what waits, as the outbox does.
func bareRiver(b *testing.B) func(int) error {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "river.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	driver := riversqlite.New(db)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrator.Migrate(b.Context(), rivermigrate.DirectionUp, nil); err != nil {
		b.Fatal(err)
	}
	client, err := river.NewClient(driver, &river.Config{})
	if err != nil {
		b.Fatal(err)
	}
	waiting := make(chan chan error)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			var batch []chan error
			select {
			case reply := <-waiting:
				batch = append(batch, reply)
			case <-ctx.Done():
				return
			}
			for more := true; more && len(batch) < 128; {
				select {
				case reply := <-waiting:
					batch = append(batch, reply)
				default:
					more = false
				}
			}
			params := make([]river.InsertManyParams, len(batch))
			for i := range params {
				params[i].Args = job{payload}
			}
			_, err := client.InsertMany(context.Background(), params)
			for _, reply := range batch {
				reply <- err
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-done; db.Close() })
	return func(int) error {
		reply := make(chan error, 1)
		waiting <- reply
		return <-reply
	}
}

// BenchmarkLatency measures from the acceptance of an entry to the start of its delivery, on an idle outbox.
func BenchmarkLatency(b *testing.B) {
	started := make(chan time.Time)
	o, err := outbox.Open(b.Context(), outbox.Config{SQLite: filepath.Join(b.TempDir(), "outbox.db")}, outbox.Settings{
		Senders: []string{"example.com"}, Deliverer: deliverer(started),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	if err := o.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	for n := 0; b.Loop(); n++ {
		// The outbox is to be idle: it fetches no sooner than some milliseconds after the last time.
		time.Sleep(20 * time.Millisecond)
		if _, err := o.Put(b.Context(), outbox.New{Key: fmt.Sprint(n), Sender: "example.com", Content: payload}); err != nil {
			b.Fatal(err)
		}
		accepted := time.Now()
		all = append(all, (<-started).Sub(accepted))
	}
	percentile := func(p int) float64 {
		slices.Sort(all)
		return float64(all[len(all)*p/100].Microseconds()) / 1000
	}
	b.ReportMetric(percentile(50), "p50-ms")
	b.ReportMetric(percentile(99), "p99-ms")
}

type deliverer chan time.Time

func (d deliverer) Deliver(context.Context, outbox.Delivery) outbox.Result {
	d <- time.Now()
	return outbox.Result{Verdict: outbox.VerdictSent}
}
