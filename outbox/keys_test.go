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

// TestFormerKey finds an entry under the key that it had before its caller could give another.
func TestFormerKey(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		former := func(key string) func(*outbox.New) {
			return func(n *outbox.New) { n.FormerKey, n.FormerRemember = key, 10*time.Minute }
		}
		short := func(n *outbox.New) { n.Remember = time.Millisecond }
		first, old := put(t, o, "body"), put(t, o, "old body", short)
		time.Sleep(2 * time.Millisecond)
		for _, test := range []struct {
			key, former string
			same        string
		}{
			{"k1", "body", first.ID},
			{"k1", "old body", ""},
			{"k1", "body", ""}, // that which has the key itself comes first
			{"k2", "unknown", ""},
			{"k3", "", ""},
		} {
			got := put(t, o, test.key, former(test.former))
			if test.key == "k1" && test.former == "body" && test.same == "" {
				if !got.Duplicate || got.ID == first.ID {
					t.Errorf("%+v: %+v", test, got)
				}
				continue
			}
			if got.Duplicate != (test.same != "") || got.Duplicate && got.ID != test.same || got.ID == old.ID {
				t.Errorf("%+v: %+v", test, got)
			}
		}
	})
}

// TestFormerKeyOfAChange accepts a person's second yes, though it has the former key of the first.
func TestFormerKeyOfAChange(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		change := func(n *outbox.New) {
			n.Ordered, n.Recipients, n.Remember = true, []string{"ada@example.net"}, 10*time.Minute
		}
		put(t, o, "yes", change)
		put(t, o, "no", change)
		for n, want := range []bool{false, true} {
			again := put(t, o, "key", func(n *outbox.New) {
				change(n)
				n.Remember, n.FormerKey, n.FormerRemember = 0, "yes", 10*time.Minute
			})
			if again.Duplicate != want {
				t.Errorf("the %d. time: %+v", n+1, again)
			}
		}
	})
}

// TestRenderedKey gives an entry the key of what it was rendered to, unless that mail was accepted already.
func TestRenderedKey(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Unrendered {
				return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &outbox.New{
					Sender: sender, Content: []byte("rendered"), Key: "template " + d.Hook,
				}}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		render := func(key, hook string) outbox.Receipt {
			t.Helper()
			receipt := put(t, o, key, func(n *outbox.New) {
				n.Unrendered, n.Hook, n.Remember = "broken", hook, 10*time.Minute
			})
			if err := o.Retry(t.Context(), receipt.ID); err != nil {
				t.Fatal(err)
			}
			return receipt
		}
		first := render("1", "a")
		f.waitEvents(t, "sent", 1)
		if again := put(t, o, "template a"); again.ID != first.ID || !again.Duplicate {
			t.Errorf("the rendered entry: %+v", again)
		}
		second := render("2", "a")
		f.waitEvents(t, "discarded", 1)
		entry := get(t, o, second.ID)
		if entry.Reason != "it is the same mail as the entry "+first.ID || entry.Content != nil {
			t.Errorf("the same mail: %+v", entry)
		}
		// A key that is no longer remembered is free.
		short := put(t, o, "template b", func(n *outbox.New) { n.Remember = time.Millisecond })
		f.waitEvents(t, "sent", 2)
		time.Sleep(2 * time.Millisecond)
		third := render("3", "b")
		f.waitEvents(t, "sent", 3)
		if again := put(t, o, "template b"); again.ID != third.ID || again.ID == short.ID {
			t.Errorf("a key that was free: %+v", again)
		}
	})
}
