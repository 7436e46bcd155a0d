package outbox_test

import (
	"fmt"
	"sync"
	"testing"
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
		if f.count("release") != 1 || f.count("dead") != 0 || len(f.delivered) != 5+20 {
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
		if entries, err := o.List(t.Context(), outbox.Filter{State: outbox.Pending}); err != nil || len(entries) != 1 {
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
		if err := o.Configure(t.Context(), outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: f, Notify: f.notify}); err != nil {
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
		mended := newFake(sent)
		if err := o.Configure(t.Context(), outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: mended, Notify: mended.notify}); err != nil {
			t.Fatal(err)
		}
		mended.waitEvents(t, "sent", 5)
	})
}
