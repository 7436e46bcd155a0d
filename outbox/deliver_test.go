package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestDelivers(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictSent, Outcome: []outbox.Recipient{{Status: "sent", ID: "m1"}}}
		})
		o := open(t, c, f)
		receipt := put(t, o, "one")
		if entry := get(t, o, receipt.ID); entry.State != outbox.Pending || string(entry.Content) != "content of one\x00" ||
			o.Undelivered() != 1 {
			t.Errorf("before the start: %+v, %d undelivered", entry, o.Undelivered())
		}
		start(t, o)
		f.waitEvents(t, "sent", 1)
		entry := get(t, o, receipt.ID)
		if entry.State != outbox.Sent || entry.Content != nil || len(entry.Outcome) != 1 || entry.Ended.IsZero() ||
			o.Undelivered() != 0 {
			t.Errorf("after it: %+v", entry)
		}
		if d := f.delivered[0]; string(d.Content) != "content of one\x00" || d.Sender != sender || d.Hook != "/welcome" ||
			d.Uncertain ||
			d.Unrendered {
			t.Errorf("delivered %+v", d)
		}
		// What comes while it runs is delivered at once.
		put(t, o, "two")
		f.waitEvents(t, "sent", 2)
	})
}

func TestManyCallersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		const callers, each, same = 32, 20, 4
		var putting sync.WaitGroup
		for caller := range callers {
			putting.Go(func() {
				for n := range each {
					// Some callers have the same keys.
					key := fmt.Sprintf("%d-%d", caller/same, n)
					if _, err := o.Put(t.Context(), outbox.New{Key: key, Sender: sender, Content: []byte("x")}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		putting.Wait()
		f.waitEvents(t, "sent", callers*each/same)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.delivered) != callers*each/same {
			t.Errorf("%d delivered", len(f.delivered))
		}
	})
}

func TestRetries(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictRetry, Reason: "status 500"}))
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); len(entry.Attempts) != 2 || entry.Attempts[0].Reason != "status 500" {
			t.Errorf("attempts %+v", entry.Attempts)
		}
	})
}

func TestRetryForEnds(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "status 500"}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.RetryFor = time.Millisecond })
		start(t, o)
		receipt := put(t, o, "key")
		f.waitEvents(t, "dead", 1)
		entry := get(t, o, receipt.ID)
		if entry.State != outbox.Dead || entry.Content == nil || !strings.Contains(entry.Reason, "status 500") ||
			o.Undelivered() != 0 {
			t.Errorf("%+v", entry)
		}
		// The operator fixes what is broken, and retries it.
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		if err := o.Retry(t.Context(), receipt.ID); !errors.Is(err, outbox.ErrWiped) {
			t.Errorf("retrying what was sent: %v", err)
		}
	})
}

func TestUnknownSenderWaits(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key", func(e *outbox.New) { e.Sender = "example.org" })
		put(t, o, "other")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Pending {
			t.Errorf("%+v", entry)
		}
		status, err := o.Status(t.Context())
		if err != nil || status.Unknown["example.org"] != 1 {
			t.Errorf("status %+v, %v", status, err)
		}
		settings := outbox.Settings{Senders: []string{sender, "example.org"}, Deliverer: f, Notify: f.notify}
		if err := o.Configure(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 2)
	})
}

func TestStopAndStartAgain(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		release := make(chan struct{})
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			if n == 1 {
				<-release
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		if err := o.Stop(t.Context()); err != nil {
			t.Errorf("stopping before the start: %v", err)
		}
		start(t, o)
		put(t, o, "in flight")
		f.wait(t, "the delivery", func() bool { return len(f.delivered) == 1 })
		stopped := make(chan error)
		go func() { stopped <- o.Stop(context.Background()) }()
		// Hooks that come during the stop are stored.
		put(t, o, "late")
		close(release)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if err := o.Stop(t.Context()); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
		f.waitEvents(t, "sent", 1)
		start(t, o)
		f.waitEvents(t, "sent", 2)
		if len(f.delivered) != 2 {
			t.Errorf("%d deliveries", len(f.delivered))
		}
	})
}

func TestCrashingDeliverer(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch n {
			case 1:
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
			case 2:
				panic("crash")
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		put(t, o, "one")
		f.waitEvents(t, "hold", 1)
		put(t, o, "two")
		f.waitEvents(t, "sent", 1)
		if f.count("release") != 1 {
			t.Errorf("%d releases of %v", f.count("release"), f.counts())
		}
		if entry := get(t, o, f.delivered[1].ID); entry.State != outbox.Uncertain {
			t.Errorf("the one that crashed: %+v", entry)
		}
	})
}

// stubborn delivers when its context ends.
type stubborn struct{ begun chan struct{} }

func (s stubborn) Deliver(ctx context.Context, _ outbox.Delivery) outbox.Result {
	s.begun <- struct{}{}
	<-ctx.Done()
	return outbox.Result{Verdict: outbox.VerdictSent}
}

// TestOutcomeOfACutDelivery stores what deliveries say that Stop has lost patience with.
func TestOutcomeOfACutDelivery(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		const entries = 20
		s := stubborn{make(chan struct{}, entries)}
		f := newFake(nil)
		o := open(t, c, f, func(settings *outbox.Settings) { settings.Deliverer = s })
		start(t, o)
		for n := range entries {
			put(t, o, fmt.Sprint(n))
		}
		for range entries {
			<-s.begun
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := o.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		found, err := o.List(t.Context(), outbox.Filter{States: []outbox.State{outbox.Sent}})
		if err != nil || len(found) != entries {
			t.Errorf("%d of %d are sent, %v", len(found), entries, err)
		}
	})
}
