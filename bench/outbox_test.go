package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/bench/bare"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

var payload = bytes.Repeat([]byte("x"), 4096)

// BenchmarkAccept compares the acceptance of entries of 4 KB with bare River, batched in the same way, and with an
// append and an fsync for each: durable entries a second, by the number of callers.
func BenchmarkAccept(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		for name, config := range databases(b) {
			b.Run(fmt.Sprintf("%s/callers=%d/outbox", name, callers), func(b *testing.B) {
				o := openOutbox(b, config)
				run := time.Now().UnixNano()
				accept(b, callers, func(n int) error {
					_, err := o.Put(context.Background(), outbox.New{Key: fmt.Sprint(run, n), Sender: "example.com", Content: payload})
					return err
				})
			})
			b.Run(fmt.Sprintf("%s/callers=%d/river", name, callers), func(b *testing.B) {
				queue := bareRiver(b, config)
				accept(b, callers, func(int) error { return queue.Insert(payload) })
			})
		}
		b.Run(fmt.Sprintf("fsync/callers=%d", callers), func(b *testing.B) {
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

func openOutbox(b *testing.B, config outbox.Config) *outbox.Outbox {
	b.Helper()
	if config.SQLite != "" {
		config.SQLite = filepath.Join(b.TempDir(), "outbox.db")
	}
	o, err := outbox.Open(b.Context(), config, outbox.Settings{MaxPending: unbounded})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = o.Close() })
	return o
}

func bareRiver(b *testing.B, config outbox.Config) *bare.Queue {
	b.Helper()
	open, where := bare.Postgres, config.Postgres
	if config.SQLite != "" {
		open, where = bare.SQLite, filepath.Join(b.TempDir(), "river.db")
	}
	queue, err := open(b.Context(), where)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = queue.Close() })
	return queue
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
		for name, config := range databases(b) {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				o := openOutbox(b, config)
				run := time.Now().UnixNano()
				accept(b, callers, func(n int) error {
					entry := outbox.New{Key: fmt.Sprint(run, n), Sender: "example.com", Content: payload, Claim: time.Hour}
					receipt, err := o.Put(context.Background(), entry)
					if err != nil {
						return err
					}
					return o.Settle(context.Background(), receipt.ID, entry, outbox.Result{Verdict: outbox.VerdictSent})
				})
			})
		}
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
