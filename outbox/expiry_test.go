package outbox_test

import (
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.KeepContent = true })
		start(t, o)
		soon := func(n *outbox.New) { n.Expires, n.Private = time.Now().Add(50*time.Millisecond), true }
		receipt := put(t, o, "key", soon)
		f.waitEvents(t, "expired", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Expired || entry.Content != nil {
			t.Errorf("%+v", entry)
		}
		if again := put(t, o, "key", soon); again.Duplicate {
			t.Error("the key isn't free")
		}
		f.waitEvents(t, "expired", 2)
	})
}

func TestDeadAndPrivate(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictDead, Reason: "refused"}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "one", func(n *outbox.New) { n.Private, n.Expires = true, time.Now().Add(time.Second) })
		f.waitEvents(t, "dead", 1)
		eventually(t, "its content to be wiped", func() bool { return get(t, o, receipt.ID).Content == nil })
		if entry := get(t, o, receipt.ID); entry.State != outbox.Dead {
			t.Errorf("%+v", entry)
		}
	})
}
