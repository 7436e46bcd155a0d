package outbox_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestHolds(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		var mu sync.Mutex
		suspended := true
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			mu.Lock()
			defer mu.Unlock()
			if suspended {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "PaymentRequired"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Workers = 4; s.RetryFor = time.Nanosecond })
		for n := range 20 {
			put(t, o, fmt.Sprint(n))
		}
		start(t, o)
		f.waitEvents(t, "hold", 1)
		status, err := o.Status(t.Context())
		if err != nil || status.Holds[sender].Reason != "PaymentRequired" {
			t.Errorf("status %+v, %v", status, err)
		}
		// One entry probes while all others wait.
		f.wait(t, "a probe", func() bool { return len(f.delivered) == 5 })
		mu.Lock()
		suspended = false
		mu.Unlock()
		f.waitEvents(t, "sent", 20)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.count("release") != 1 || f.count("dead")+f.count("retry") != 0 || len(f.delivered) != 5+20 {
			t.Errorf("%d releases, %d dead, %d deliveries", f.count("release"), f.count("dead"), len(f.delivered))
		}
	})
}

func TestDiscardWhileHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key")
		f.waitEvents(t, "hold", 1)
		eventually(t, "the entry to wait", func() bool { return get(t, o, receipt.ID).State == outbox.Pending })
		pending := outbox.Filter{States: []outbox.State{outbox.Pending}}
		if entries, err := o.List(t.Context(), pending); err != nil || len(entries) != 1 {
			t.Errorf("listed %+v, %v", entries, err)
		}
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Errorf("retrying what waits: %v", err)
		}
		if err := o.Discard(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		// The worker notices when it comes to its turn, and leaves the probe to another.
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		put(t, o, "other")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Discarded {
			t.Errorf("%+v", entry)
		}
	})
}

func TestSenderGoesWhileItIsHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f)
		start(t, o)
		for n := range 5 {
			put(t, o, fmt.Sprint(n))
		}
		f.waitEvents(t, "hold", 1)
		if err := o.Configure(t.Context(), outbox.Settings{Deliverer: f, Notify: f.notify}); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		if n := o.Undelivered(); n != 5 {
			t.Errorf("%d undelivered", n)
		}
		if holds := o.HoldsBySender(); len(holds) > 0 {
			t.Errorf("the hold outlasts the account: %+v", holds)
		}
		settings := outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: f, Notify: f.notify}
		if err := o.Configure(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 5)
	})
}

func TestReloadWhileHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		broken := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "invalid key"}
		})
		o := open(t, c, broken, func(s *outbox.Settings) { s.Workers = 2 })
		start(t, o)
		for n := range 5 {
			put(t, o, fmt.Sprint(n))
		}
		broken.waitEvents(t, "hold", 1)
		working := newFake(sent)
		settings := outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: working, Notify: working.notify}
		if err := o.Configure(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		working.waitEvents(t, "sent", 5)
	})
}

// TestProbes has an account stay held for a while, and looks at when it is probed.
func TestProbes(t *testing.T) {
	for name, test := range map[string]struct {
		after time.Duration
		// want are the times between the calls.
		want []time.Duration
	}{
		"growing": {0, []time.Duration{
			time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second,
		}},
		"Retry-After in full":      {10 * time.Minute, []time.Duration{10 * time.Minute, 10 * time.Minute}},
		"Retry-After has a bound":  {24 * time.Hour, []time.Duration{time.Hour}},
		"Retry-After may be short": {time.Millisecond, []time.Duration{time.Second, 2 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			onSQLite(t, func(t *testing.T, c outbox.Config) {
				f := newFake(func(outbox.Delivery, int) outbox.Result {
					return outbox.Result{Verdict: outbox.VerdictHold, Reason: "rate limit", After: test.after}
				})
				o := open(t, c, f, func(s *outbox.Settings) { s.Workers = 1 })
				start(t, o)
				put(t, o, "one")
				put(t, o, "two")
				f.wait(t, "the probes", func() bool { return len(f.delivered) > len(test.want) })
				f.mu.Lock()
				defer f.mu.Unlock()
				for i, want := range test.want {
					if got := f.times[i+1].Sub(f.times[i]); got.Round(100*time.Millisecond) != want {
						t.Errorf("probe %d after %v, want %v", i, got, want)
					}
				}
			})
		})
	}
}

// TestReloadProbesAtOnce has new settings be tried although the account asked for an hour.
func TestReloadProbesAtOnce(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictHold, Reason: "rate limit", After: time.Hour}))
		o := open(t, c, f)
		start(t, o)
		put(t, o, "one")
		f.waitEvents(t, "hold", 1)
		began := time.Now()
		settings := outbox.Settings{Senders: []string{sender}, Deliverer: f, Notify: f.notify}
		if err := o.Configure(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestLateRefusal has an attempt that began before a hold end after it: it begins no new one.
func TestLateRefusal(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		hold := outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch n {
			case 1:
				time.Sleep(30 * time.Second)
				return hold
			case 2:
				return hold
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		put(t, o, "slow")
		f.wait(t, "the slow one", func() bool { return len(f.delivered) == 1 })
		put(t, o, "held")
		f.waitEvents(t, "release", 1)
		f.waitEvents(t, "sent", 2)
		if f.count("hold") != 1 {
			t.Errorf("events %v", f.counts())
		}
	})
}

// TestStartsSlowly sends one entry at a time after a hold, and more after each success.
func TestStartsSlowly(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		var sends atOnce
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			if n <= 8 {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
			}
			return sends.send(time.Second)
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Workers = 8 })
		for n := range 30 {
			put(t, o, fmt.Sprint(n))
		}
		start(t, o)
		f.waitEvents(t, "sent", 30)
		// The probe, one, two, and so on.
		if got := sends.first(4); !slices.Equal(got, []int{1, 1, 1, 2}) {
			t.Errorf("sent at once: %v", got)
		}
	})
}

// TestProbeExpires has the entry that would probe expire: another one does, without the time that a probe may take.
func TestProbeExpires(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}))
		o := open(t, c, f)
		start(t, o)
		began := time.Now()
		put(t, o, "expires", func(n *outbox.New) { n.Expires = time.Now().Add(500 * time.Millisecond) })
		f.waitEvents(t, "hold", 1)
		put(t, o, "other")
		f.waitEvents(t, "sent", 1)
		if took := time.Since(began); took > 10*time.Second || f.count("expired") != 1 {
			t.Errorf("it took %v, events %v", took, f.counts())
		}
	})
}

// TestSlowDown has an account that asks for it send one entry at a time, and more again with each that is answered.
func TestSlowDown(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		const entries = 8
		var sends atOnce
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			if n <= entries {
				return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "ServiceUnavailable", SlowDown: true}
			}
			return sends.send(time.Minute)
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Workers = entries })
		for n := range entries {
			put(t, o, fmt.Sprint(n))
		}
		start(t, o)
		f.waitEvents(t, "sent", entries)
		if got := sends.first(3); !slices.Equal(got, []int{1, 1, 2}) {
			t.Errorf("sent at once: %v", got)
		}
	})
}

// TestRateLimit drains 400 entries through a bucket of 10 a second: most calls are accepted, and little time is lost.
func TestRateLimit(t *testing.T) {
	for name, after := range map[string]time.Duration{"no Retry-After": 0, "Retry-After": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const entries, size = 400, 10
				var mu sync.Mutex
				room, filled, refused := float64(size), time.Now(), 0
				f := newFake(func(outbox.Delivery, int) outbox.Result {
					time.Sleep(3 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					now := time.Now()
					room, filled = min(size, room+size*now.Sub(filled).Seconds()), now
					if room < 1 {
						refused++
						return outbox.Result{
							Verdict: outbox.VerdictHold, Reason: "RequestLimitExceeded", RateLimited: true, After: after,
						}
					}
					room--
					return outbox.Result{Verdict: outbox.VerdictSent}
				})
				o := open(t, outbox.Config{SQLite: memory(t) + "/outbox.db"}, f)
				for n := range entries {
					put(t, o, fmt.Sprint(n))
				}
				began := time.Now()
				start(t, o)
				f.waitEvents(t, "sent", entries)
				took, ideal := time.Since(began), (entries-size)/size*time.Second
				if took > ideal*3/2 || refused*5 > entries+refused || f.count("retry") > 0 {
					t.Errorf("it took %v, ideal %v; %d calls were refused, %d entries retried", took, ideal, refused, f.count("retry"))
				}
				t.Logf("it took %v, ideal %v; %d calls were refused", took, ideal, refused)
			})
		})
	}
}

// TestRateLimitIsOver forgets soon a limit that is none any more.
func TestRateLimitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			time.Sleep(3 * time.Millisecond)
			if n <= 20 {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "RequestLimitExceeded", RateLimited: true}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, outbox.Config{SQLite: memory(t) + "/outbox.db"}, f)
		const entries = 2000
		for n := range entries {
			put(t, o, fmt.Sprint(n))
		}
		began := time.Now()
		start(t, o)
		f.waitEvents(t, "sent", entries)
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
