package outbox_test

import (
	"slices"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestOrder has entries that share a recipient know of each other, and no others.
func TestOrder(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		verdicts := map[string]outbox.Verdict{"first": outbox.VerdictRetry, "dead": outbox.VerdictDead}
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if verdict, ok := verdicts[d.Hook]; ok {
				return outbox.Result{Verdict: verdict}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		ids := make(map[string]string)
		accept := func(name string, change ...func(*outbox.New)) {
			ordered := func(e *outbox.New) { e.Hook, e.Ordered = name, true }
			ids[name] = put(t, o, name, append([]func(*outbox.New){ordered}, change...)...).ID
		}
		to := func(addresses ...string) func(*outbox.New) {
			return func(e *outbox.New) { e.Recipients = addresses }
		}
		order := func(when, name string, waits bool, late ...int) {
			t.Helper()
			entry := get(t, o, ids[name])
			var want []string
			for _, n := range late {
				want = append(want, entry.Recipients[n])
			}
			gotWaits, gotLate, err := o.Order(t.Context(), entry)
			if err != nil || gotWaits != waits || !slices.Equal(gotLate, want) {
				t.Errorf("%s: %s waits %t, late for %v of %v, %v", when, name, gotWaits, gotLate, entry.Recipients, err)
			}
		}
		accept("unrendered", func(e *outbox.New) { e.Unrendered = "broken" })
		accept("dead")
		accept("moved", to("gone@example.net", "ada@example.net"), func(e *outbox.New) { e.Unrendered = "broken" })
		accept("elsewhere", func(e *outbox.New) { e.Sender = "example.org" })
		accept("first")
		accept("other", to("other@example.net"))
		accept("second", to("new@example.net", "ADA@example.net"))
		accept("nobody", to())
		for name, waits := range map[string]bool{
			"unrendered": false,
			"dead":       false,
			"elsewhere":  false,
			"first":      true,
			"other":      false,
			"second":     true,
			"nobody":     false,
		} {
			order("before the start", name, waits)
		}
		start(t, o)
		f.waitEvents(t, "sent", 3)
		f.waitEvents(t, "dead", 1)
		f.waitEvents(t, "retry", 1)
		for name, late := range map[string][]int{
			"unrendered": {0},
			"dead":       {0},
			"moved":      {1},
			"elsewhere":  nil,
			"first":      {0},
			"other":      nil,
			"second":     nil,
			"nobody":     nil,
		} {
			order("after it", name, name == "second", late...)
		}
	})
}

// TestWait gives back an entry that is to wait for another, and counts nothing.
func TestWait(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			if n < 20 {
				return outbox.Result{Verdict: outbox.VerdictWait, Reason: "another is first"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		id := put(t, o, "waits").ID
		start(t, o)
		f.waitEvents(t, "sent", 1)
		status, err := o.Status(t.Context())
		// The wait is noted once.
		if entry := get(t, o, id); err != nil || len(entry.Attempts) != 2 || len(status.Failing) != 0 {
			t.Errorf("entry %+v, failing %+v, %v", entry, status.Failing, err)
		}
	})
}

// TestRestated has an equal key be another entry as soon as a later one shares a recipient.
func TestRestated(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		restated := func(e *outbox.New) { e.Ordered, e.Remember = true, time.Minute }
		first := put(t, o, "no", restated)
		if repeat := put(t, o, "no", restated); !repeat.Duplicate || repeat.ID != first.ID {
			t.Errorf("a repeat: %+v", repeat)
		}
		put(t, o, "somebody", restated, func(e *outbox.New) { e.Recipients = []string{"other@example.net"} })
		put(t, o, "a mail")
		if repeat := put(t, o, "no", restated); !repeat.Duplicate {
			t.Errorf("a repeat after somebody else's: %+v", repeat)
		}
		put(t, o, "yes", restated, func(e *outbox.New) { e.Recipients = []string{"new@example.net", "ada@example.net"} })
		again := put(t, o, "no", restated)
		if again.Duplicate || again.ID == first.ID {
			t.Errorf("said again: %+v", again)
		}
		if repeat := put(t, o, "no", restated); !repeat.Duplicate || repeat.ID != again.ID {
			t.Errorf("its repeat: %+v", repeat)
		}
		start(t, o)
		f.waitEvents(t, "sent", 5)
	})
}

// TestRevived tells a Deliverer what the operator had tried again.
func TestRevived(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Revived {
				return outbox.Result{Verdict: outbox.VerdictSent}
			}
			return outbox.Result{Verdict: outbox.VerdictDead}
		})
		o := open(t, c, f)
		id := put(t, o, "dead").ID
		start(t, o)
		f.waitEvents(t, "dead", 1)
		if err := o.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
	})
}

// TestRestatedUnrendered repeats what couldn't be rendered, when it wasn't known to whom it belongs.
func TestRestatedUnrendered(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		restated := func(e *outbox.New) { e.Ordered, e.Remember = true, time.Minute }
		broken := func(e *outbox.New) { e.Unrendered, e.Recipients = "broken", nil }
		first := put(t, o, "yes", restated, broken)
		if repeat := put(t, o, "yes", restated); !repeat.Duplicate || repeat.ID != first.ID {
			t.Errorf("a repeat: %+v", repeat)
		}
		put(t, o, "no", restated)
		if again := put(t, o, "yes", restated); again.Duplicate {
			t.Errorf("said again: %+v", again)
		}
	})
}
