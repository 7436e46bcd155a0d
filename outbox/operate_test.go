package outbox_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func refused(outbox.Delivery, int) outbox.Result {
	return outbox.Result{Verdict: outbox.VerdictDead, Reason: "100%_refused"}
}

// TestRetryAndDiscardAll changes more entries than fit a page.
func TestRetryAndDiscardAll(t *testing.T) {
	const entries = 46
	outbox.SetOperatePage(t, 10)
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(refused)
		o := open(t, c, f)
		start(t, o)
		for n := range entries {
			put(t, o, fmt.Sprint(n), func(e *outbox.New) {
				if n%2 == 1 {
					e.Template = "odd"
				}
			})
		}
		f.waitEvents(t, "dead", entries)
		var steps []outbox.Progress
		progress := func(p outbox.Progress) { steps = append(steps, p) }
		ofSent := outbox.Filter{States: []outbox.State{outbox.Sent}}
		if _, err := o.RetryAll(t.Context(), ofSent, progress); !errors.Is(err, outbox.ErrState) {
			t.Errorf("sent entries: %v", err)
		}
		if p, err := o.RetryAll(t.Context(), outbox.Filter{Reason: "other"}, progress); err != nil ||
			p != (outbox.Progress{}) {
			t.Errorf("another reason: %+v, %v", p, err)
		}
		if p, err := o.DiscardAll(t.Context(), outbox.Filter{Template: "odd"}, progress); err != nil ||
			p != (outbox.Progress{Total: entries / 2, Done: entries / 2}) {
			t.Errorf("discarded %+v, %v", p, err)
		}
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		steps = nil
		p, err := o.RetryAll(t.Context(), outbox.Filter{States: []outbox.State{outbox.Dead}, Reason: "100%_REF"}, progress)
		if err != nil || p != (outbox.Progress{Total: entries / 2, Done: entries / 2}) || len(steps) != 4 {
			t.Errorf("retried %+v in %+v, %v", p, steps, err)
		}
		f.waitEvents(t, "sent", entries/2)
		status, err := o.Status(t.Context())
		if err != nil || status.Counts[outbox.Sent] != entries/2 || status.Counts[outbox.Discarded] != entries/2 ||
			status.Counts[outbox.Dead] != 0 {
			t.Errorf("status %+v, %v", status, err)
		}
		// While entries end, the number may be counted anew.
		eventually(t, "none is undelivered", func() bool { return o.Undelivered() == 0 })
		if summary, ok := o.Summary(); !ok || summary.Counts[outbox.Sent] != entries/2 ||
			summary.Oldest[outbox.Sent].IsZero() {
			t.Errorf("summary %+v", summary)
		}
	})
}

// TestPauseStays pauses a sender over a restart.
func TestPauseStays(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		if err := o.Pause(t.Context(), sender); err != nil {
			t.Fatal(err)
		}
		id := put(t, o, "k").ID
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		o = open(t, c, f)
		start(t, o)
		if hold := o.HoldsBySender()[sender]; !hold.Paused {
			t.Errorf("holds %+v", o.Holds())
		}
		if err := o.Ready(); err != nil {
			t.Error(err)
		}
		if err := o.Resume(t.Context(), sender); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, id); entry.State != outbox.Sent || len(o.Holds()) != 0 {
			t.Errorf("%+v, holds %+v", entry, o.Holds())
		}
	})
}

func TestNote(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictSent, Outcome: []outbox.Recipient{{ID: "a" + d.ID}, {ID: "b" + d.ID}}}
		})
		o := open(t, c, f)
		start(t, o)
		id := put(t, o, "k").ID
		f.waitEvents(t, "sent", 1)
		at := time.Unix(1_700_000_000, 0)
		event := func(entry, message, what string, after time.Duration) outbox.Heard {
			return outbox.Heard{Entry: entry, MailEvent: outbox.MailEvent{Time: at.Add(after), Event: what, Message: message}}
		}
		noted, err := o.Note(t.Context(), []outbox.Heard{
			event(id, "a"+id, "delivered", time.Second),
			event("", "b"+id, "send", 0),
			event("", "a"+id, "open", time.Minute),
			event(id, "a"+id, "delivered", time.Second),
			event(id, "other", "delivered", 0),
			event("", "other", "open", 0),
			event("99999999", "", "open", 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range noted {
			got = append(got, fmt.Sprintf("%s %v", n.Entry.ID, n.New))
		}
		want := strings.Repeat(id+" true,", 3) + id + " false, true, true, true"
		if strings.Join(got, ",") != want {
			t.Errorf("noted %q, want %q", strings.Join(got, ","), want)
		}
		entry := get(t, o, id)
		if len(entry.Events) != 3 || entry.Events[0].Event != "send" || entry.Events[2].Event != "open" ||
			entry.State != outbox.Sent {
			t.Errorf("%+v", entry)
		}
		var opens []outbox.Heard
		for n := range 120 {
			opens = append(opens, event(id, "a"+id, "open", time.Hour+time.Duration(n)*time.Second))
		}
		if _, err := o.Note(t.Context(), opens); err != nil {
			t.Fatal(err)
		}
		if entry = get(t, o, id); len(entry.Events) != 50 || entry.Events[1].Event != "delivered" {
			t.Errorf("%d events: %+v", len(entry.Events), entry.Events[:3])
		}
	})
}

// TestNoteWhileWaiting keeps events of an entry that a worker has in its hands.
func TestNoteWhileWaiting(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}))
		o := open(t, c, f)
		start(t, o)
		id := put(t, o, "k").ID
		f.waitEvents(t, "hold", 1)
		delivered := outbox.Heard{Entry: id, MailEvent: outbox.MailEvent{Time: time.Now(), Event: "delivered"}}
		if noted, err := o.Note(t.Context(), []outbox.Heard{delivered}); err != nil || !noted[0].New {
			t.Fatalf("%+v, %v", noted, err)
		}
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, id); len(entry.Events) != 1 {
			t.Errorf("%+v", entry)
		}
	})
}

// TestMove carries entries of all kinds over to PostgreSQL, where one of them is in the way.
func TestMove(t *testing.T) {
	dsn := postgres(t)
	outbox.Hurry(t)
	file := filepath.Join(t.TempDir(), "outbox.db")
	f := newFake(func(d outbox.Delivery, n int) outbox.Result {
		if string(d.Content) == "dead" {
			return outbox.Result{Verdict: outbox.VerdictDead, Reason: "refused"}
		}
		return outbox.Result{Verdict: outbox.VerdictSent}
	})
	target := open(t, outbox.Config{Postgres: dsn}, f)
	own := put(t, target, "taken") // has the ID 1, and a key that comes again
	source := open(t, outbox.Config{SQLite: file}, f)
	id, err := source.ID()
	if err != nil {
		t.Fatal(err)
	}
	content := func(text string) func(*outbox.New) {
		return func(e *outbox.New) { e.Content, e.Recipients = []byte(text), []string{text + "@example.net"} }
	}
	first := put(t, source, "first", content("first"))
	repeated := put(t, source, "taken", content("repeated"))
	put(t, source, "dead", content("dead"))
	put(t, source, "ctx", content("ctx"), func(e *outbox.New) { e.Unrendered = "broken" })
	for n := range 300 {
		put(t, source, fmt.Sprint("many", n))
	}
	if err := source.Pause(t.Context(), "paused.example"); err != nil {
		t.Fatal(err)
	}
	move := func() (outbox.Progress, error) {
		from, to := outbox.Config{SQLite: file}, outbox.Config{Postgres: dsn}
		return outbox.Move(t.Context(), from, to, nil, func(outbox.Progress) {})
	}
	if _, err := move(); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the file is open: %v", err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := move()
	if err != nil || p != (outbox.Progress{Total: 304, Done: 304}) {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = move(); err != nil || p.Done != 0 {
		t.Fatalf("again: %+v, %v", p, err)
	}
	moved := id
	eventually(t, "the target to know whose entries it took", func() bool {
		took, err := target.Took(moved)
		return err == nil && took
	})
	if again := put(t, target, "first"); !again.Duplicate {
		t.Errorf("the key of %s is lost: %+v", first.ID, again)
	}
	if entry := get(t, target, repeated.ID); string(entry.Content) != "repeated" {
		t.Errorf("%+v", entry)
	}
	for address, want := range map[string]outbox.State{
		"first@example.net": outbox.Pending,
		"ctx@example.net":   outbox.Unrendered,
	} {
		entries, err := target.List(t.Context(), outbox.Filter{Recipient: address})
		if err != nil || len(entries) != 1 || entries[0].State != want || entries[0].ID == own.ID {
			t.Errorf("%s: %+v, %v", address, entries, err)
		}
	}
	if fresh := put(t, target, "fresh"); fresh.Duplicate {
		t.Errorf("a new one: %+v", fresh)
	}
	start(t, target)
	f.waitEvents(t, "sent", 304)
	f.waitEvents(t, "dead", 1)
}

// TestRetryBeginsAgain retries what was given up, as if it had just been accepted.
func TestRetryBeginsAgain(t *testing.T) {
	for name, test := range map[string]struct {
		verdict outbox.Verdict
		// retries are those before it is dead, unknown those whose outcome is unknown.
		event string
	}{
		"failed":      {outbox.VerdictRetry, "retry"},
		"of no known": {outbox.VerdictUnknown, "retry"},
	} {
		t.Run(name, func(t *testing.T) {
			onSQLite(t, func(t *testing.T, c outbox.Config) {
				f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
					if d.Uncertain {
						return outbox.Result{Verdict: outbox.VerdictResend, Reason: "it was not found"}
					}
					return outbox.Result{Verdict: test.verdict, Reason: "x"}
				})
				o := open(t, c, f, func(s *outbox.Settings) { s.RetryFor = 10 * time.Second })
				start(t, o)
				id := put(t, o, "key").ID
				f.waitEvents(t, "dead", 1)
				before := f.count(test.event)
				if err := o.Retry(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				f.waitEvents(t, "dead", 2)
				if again := f.count(test.event) - before; again < before || before == 0 {
					t.Errorf("%d retries, and %d after it was retried", before, again)
				}
			})
		})
	}
}

// TestRetryGivenUp sends again what the account had kept back and given up: it is not looked up.
func TestRetryGivenUp(t *testing.T) {
	outbox.SetBacklogFor(t, time.Hour)
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			if n == 1 || !d.Backlogged.IsZero() {
				return outbox.Result{
					Verdict: outbox.VerdictBacklogged, Scope: outbox.ScopeDomain, Reason: "kept back",
					Outcome: []outbox.Recipient{{Status: "queued", ID: "m"}},
				}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		id := put(t, o, "key").ID
		f.waitEvents(t, "dead", 1)
		if entry := get(t, o, id); entry.Ended.Sub(entry.Accepted) < time.Hour {
			t.Errorf("it was given up too soon: %+v", entry)
		}
		if err := o.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
	})
}
