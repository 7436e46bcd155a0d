package outbox_test

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		verdict := outbox.VerdictSent
		f := newFake(func(outbox.Delivery, int) outbox.Result { return outbox.Result{Verdict: verdict, Reason: "x"} })
		o := open(t, c, f)
		first := put(t, o, "key")
		again := put(t, o, "key")
		if first.Duplicate || !again.Duplicate || again.ID != first.ID || again.Entry.State != outbox.Pending {
			t.Errorf("first %+v, again %+v", first, again)
		}
		start(t, o)
		f.waitEvents(t, "sent", 1)
		if again := put(t, o, "key"); !again.Duplicate || again.ID != first.ID || again.Entry.State != outbox.Sent {
			t.Errorf("after it was sent: %+v", again)
		}
		// An entry that ended without a mail leaves its key free.
		for _, ends := range []struct {
			verdict outbox.Verdict
			event   string
		}{{outbox.VerdictRejected, "rejected"}, {outbox.VerdictDead, "dead"}, {outbox.VerdictDiscarded, "discarded"}} {
			verdict = ends.verdict
			first := put(t, o, ends.event)
			f.waitEvents(t, ends.event, 1)
			if again := put(t, o, ends.event); again.Duplicate || again.ID == first.ID {
				t.Errorf("%s: %+v", ends.event, again)
			}
			f.waitEvents(t, ends.event, 2)
		}
		// A key is remembered as long as it is to be.
		verdict = outbox.VerdictSent
		short := func(n *outbox.New) { n.Remember = time.Millisecond }
		first = put(t, o, "short", short)
		f.waitEvents(t, "sent", 2)
		time.Sleep(time.Millisecond)
		if again := put(t, o, "short", short); again.Duplicate || again.ID == first.ID {
			t.Errorf("after its time: %+v", again)
		}
		f.waitEvents(t, "sent", 3)
	})
}

func TestFull(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent), func(s *outbox.Settings) { s.MaxPending = 2 })
		put(t, o, "1")
		put(t, o, "2")
		for range 2 {
			if _, err := o.Put(t.Context(), outbox.New{Key: "3", Sender: sender}); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("got %v", err)
			}
		}
		if again := put(t, o, "2"); !again.Duplicate {
			t.Errorf("what is known: %+v", again)
		}
		// What can't be rendered doesn't count.
		if first := put(t, o, "4", func(n *outbox.New) { n.Unrendered = "broken" }); first.Duplicate || o.Undelivered() != 2 {
			t.Errorf("%+v, %d undelivered", first, o.Undelivered())
		}
	})
}

// TestSettledKey has the key of a settled entry be remembered as long as its caller asks for, from then on.
func TestSettledKey(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		claim := func(n *outbox.New) { n.Claim, n.Remember = time.Minute, 10*time.Minute }
		first := put(t, o, "key", claim)
		err := o.Settle(
			t.Context(),
			first.ID,
			outbox.New{Key: "key", Remember: 10 * time.Minute},
			outbox.Result{Verdict: outbox.VerdictSent},
		)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if again := put(t, o, "key", claim); !again.Duplicate {
			t.Errorf("after 9 minutes: %+v", again)
		}
		time.Sleep(2 * time.Minute)
		if again := put(t, o, "key", claim); again.Duplicate {
			t.Errorf("after 11 minutes: %+v", again)
		}
	})
}
