package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

type verdicts []outbox.Verdict

// TestUncertain looks for what may have been accepted, and sends it once more and no more.
func TestUncertain(t *testing.T) {
	const (
		unknown = outbox.VerdictUnknown
		resend  = outbox.VerdictResend
		retry   = outbox.VerdictRetry
		found   = outbox.VerdictSent
		dead    = outbox.VerdictDead
	)
	for name, test := range map[string]struct {
		// sends and looks are what the calls say in turn. The last one is repeated.
		sends, looks verdicts
		urgent       bool
		sent         int
		end          outbox.State
		// after is when the second call begins.
		after time.Duration
	}{
		"found": {
			sends: verdicts{unknown}, looks: verdicts{found},
			sent: 1, end: outbox.Sent, after: 2 * time.Minute,
		},
		"urgent and found": {
			sends: verdicts{unknown}, looks: verdicts{found}, urgent: true,
			sent: 1, end: outbox.Sent, after: 20 * time.Second,
		},
		"not found": {
			sends: verdicts{unknown, found}, looks: verdicts{resend},
			sent: 2, end: outbox.Sent, after: 2 * time.Minute,
		},
		"unknown again": {
			sends: verdicts{unknown}, looks: verdicts{resend},
			sent: 2, end: outbox.Dead, after: 2 * time.Minute,
		},
		"never answered": {
			sends: verdicts{unknown, found}, looks: verdicts{retry},
			sent: 2, end: outbox.Sent, after: 2 * time.Minute,
		},
		"answered at last": {
			sends: verdicts{unknown, found}, looks: verdicts{retry, unknown, found},
			sent: 1, end: outbox.Sent, after: 2 * time.Minute,
		},
		"refused afterward": {
			sends: verdicts{unknown, dead}, looks: verdicts{resend},
			sent: 2, end: outbox.Dead, after: 2 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSQLite(t, func(t *testing.T, c outbox.Config) {
				sends, looks := test.sends, test.looks
				var calls []time.Time
				sent := 0
				next := func(list *verdicts) outbox.Result {
					verdict := (*list)[0]
					if len(*list) > 1 {
						*list = (*list)[1:]
					}
					return outbox.Result{Verdict: verdict, Reason: "x"}
				}
				f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
					calls = append(calls, time.Now())
					if d.Uncertain {
						return next(&looks)
					}
					sent++
					return next(&sends)
				})
				o := open(t, c, f)
				start(t, o)
				id := put(t, o, "key", func(n *outbox.New) {
					if test.urgent {
						n.Expires = time.Now().Add(10 * time.Minute)
					}
				}).ID
				f.waitEvents(t, string(test.end), 1)
				entry := get(t, o, id)
				if sent != test.sent || entry.State != test.end {
					t.Errorf("sent %d times: %+v", sent, entry)
				}
				if after := calls[1].Sub(calls[0]).Round(time.Second); after != test.after {
					t.Errorf("looked up after %v", after)
				}
				if test.end != outbox.Dead {
					return
				}
				// What may have gone out keeps its key.
				if again := put(t, o, "key"); !again.Duplicate || !again.Entry.Uncertain {
					t.Errorf("%+v", again)
				}
				if name == "unknown again" && !strings.Contains(entry.Reason, "even twice") {
					t.Errorf("reason %q", entry.Reason)
				}
			})
		})
	}
}

// TestUncertainOnServer looks for an entry on servers too, whose time passes slowly.
func TestUncertainOnServer(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch {
			case d.Uncertain:
				return outbox.Result{Verdict: outbox.VerdictResend, Reason: "it was not found"}
			case n == 1:
				return outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "it was cut"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.UncertainWait = 100 * time.Millisecond })
		start(t, o)
		id := put(t, o, "key").ID
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, id); len(f.delivered) != 3 || len(entry.Attempts) != 3 {
			t.Errorf("%d calls, %+v", len(f.delivered), entry)
		}
	})
}

// TestEventSettles has an event tell what no answer and no search did: the entry is not sent again.
func TestEventSettles(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Uncertain {
				return outbox.Result{Verdict: outbox.VerdictResend, Reason: "no index"}
			}
			return outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "the connection broke"}
		})
		o := open(t, c, f)
		start(t, o)
		id := put(t, o, "key").ID
		f.waitEvents(t, "retry", 1)
		event := func(kind string, accepted bool) {
			t.Helper()
			heard := outbox.Heard{
				Entry: id, Accepted: accepted, MailEvent: outbox.MailEvent{Time: time.Now(), Event: kind, Message: "m1"},
			}
			if _, err := o.Note(t.Context(), []outbox.Heard{heard}); err != nil {
				t.Fatal(err)
			}
		}
		event("reject", false)
		if entry := get(t, o, id); entry.State != outbox.Uncertain {
			t.Errorf("after reject: %+v", entry)
		}
		event("delivered", true)
		entry := get(t, o, id)
		if entry.State != outbox.Sent || len(entry.Outcome) != 1 || entry.Outcome[0].ID != "m1" || entry.Content != nil {
			t.Errorf("after delivered: %+v", entry)
		}
		time.Sleep(time.Hour)
		f.mu.Lock()
		n := len(f.delivered)
		f.mu.Unlock()
		if n != 1 {
			t.Errorf("it was delivered or looked up %d times", n)
		}
		event("open", true)
		if n := o.Undelivered(); n != 0 {
			t.Errorf("%d undelivered", n)
		}
	})
}

// TestUnknownOfACaller keeps why the caller of an entry does not know what became of it.
func TestUnknownOfACaller(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		start(t, o)
		entry := outbox.New{Key: "key", Sender: sender, Content: []byte("x"), Claim: time.Minute}
		receipt, err := o.Put(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}
		unknown := outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "status 502"}
		if err := o.Settle(t.Context(), receipt.ID, entry, unknown); err != nil {
			t.Fatal(err)
		}
		if got := get(t, o, receipt.ID); got.State != outbox.Sending || got.Reason != "status 502" {
			t.Errorf("settled: %+v", got)
		}
		time.Sleep(5 * time.Minute)
		got := get(t, o, receipt.ID)
		if got.State != outbox.Dead || got.Reason != "it is not known whether it was sent: status 502" {
			t.Errorf("in the end: %+v", got)
		}
	})
}
