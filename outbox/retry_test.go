package outbox_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestRetryAgain retries what may have gone out only with Again.
func TestRetryAgain(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		outcome := []outbox.Recipient{{Status: "sent", ID: "m1"}, {Status: "rejected", RejectReason: "unsigned"}}
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictSent, Outcome: outcome, KeepContent: true}
		})
		o := open(t, c, f)
		start(t, o)
		id := put(t, o, "k").ID
		f.waitEvents(t, "sent", 1)
		if err := o.Retry(t.Context(), id); !errors.Is(err, outbox.ErrAgain) {
			t.Errorf("a sent entry: %v", err)
		}
		quiet := func(outbox.Progress) {}
		_, err := o.RetryAll(t.Context(), outbox.Filter{States: []outbox.State{outbox.Sent}}, quiet)
		if !errors.Is(err, outbox.ErrState) {
			t.Errorf("sent entries: %v", err)
		}
		var queued []string
		mayBeOut := outbox.Filter{States: []outbox.State{outbox.Sent, outbox.Uncertain}}
		p, err := o.RetryAll(t.Context(), mayBeOut, quiet,
			outbox.Again, outbox.Queued(func(ids []string) { queued = append(queued, ids...) }))
		if err != nil || p.Done != 1 || !slices.Equal(queued, []string{id}) {
			t.Errorf("again: %+v, %v, %v", p, queued, err)
		}
		f.waitEvents(t, "sent", 2)
		f.mu.Lock()
		defer f.mu.Unlock()
		if again := f.delivered[1]; !again.Revived || !reflect.DeepEqual(again.Outcome, outcome) {
			t.Errorf("delivered %+v", again)
		}
	})
}

// TestRetryUncertain sends an uncertain entry again without looking for it.
func TestRetryUncertain(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "no answer"}))
		o := open(t, c, f, func(s *outbox.Settings) { s.UncertainWait = time.Hour })
		start(t, o)
		id := put(t, o, "k").ID
		eventually(t, "the entry to be uncertain", func() bool { return get(t, o, id).State == outbox.Uncertain })
		if err := o.Retry(t.Context(), id); !errors.Is(err, outbox.ErrAgain) {
			t.Errorf("without again: %v", err)
		}
		if err := o.Retry(t.Context(), id, outbox.Again); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		if f.delivered[1].Uncertain || o.Undelivered() != 0 {
			t.Errorf("%+v, %d undelivered", f.delivered[1], o.Undelivered())
		}
	})
}

// TestPauseTemplate keeps back the entries of one template.
func TestPauseTemplate(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		if err := o.PauseTemplate(t.Context(), "bad"); err != nil {
			t.Fatal(err)
		}
		bad := put(t, o, "k", func(n *outbox.New) { n.Template = "bad" }).ID
		put(t, o, "l", func(n *outbox.New) { n.Template = "good" })
		f.waitEvents(t, "sent", 1)
		status, err := o.Status(t.Context())
		if err != nil || len(status.InForce) != 1 || !status.InForce[0].Paused || status.InForce[0].Target != "bad" {
			t.Errorf("in force %+v, %v", status.InForce, err)
		}
		if state := get(t, o, bad).State; state != outbox.Pending {
			t.Errorf("it is %s", state)
		}
		if err := o.ResumeTemplate(t.Context(), "bad"); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 2)
	})
}

// TestFilterByEventAndStates picks by what was last reported of a mail, and by several states.
func TestFilterByEventAndStates(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Template == "dead" {
				return outbox.Result{Verdict: outbox.VerdictDead, Reason: "refused"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		bounced, dead := put(t, o, "k").ID, put(t, o, "l", func(n *outbox.New) { n.Template = "dead" }).ID
		f.waitEvents(t, "sent", 1)
		f.waitEvents(t, "dead", 1)
		event := func(kind string, at int64) outbox.Heard {
			return outbox.Heard{Entry: bounced, MailEvent: outbox.MailEvent{Time: time.Unix(at, 0), Event: kind}}
		}
		// Mandrill's reports may come in any order.
		if _, err := o.Note(t.Context(), []outbox.Heard{event("hard_bounce", 20), event("deferral", 10)}); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			filter outbox.Filter
			want   []string
		}{
			"event":         {outbox.Filter{Event: "hard_bounce"}, []string{bounced}},
			"earlier event": {outbox.Filter{Event: "deferral"}, nil},
			"states":        {outbox.Filter{States: []outbox.State{outbox.Dead, outbox.Sent}}, []string{dead, bounced}},
			"both":          {outbox.Filter{States: []outbox.State{outbox.Dead, outbox.Expired}, Event: "hard_bounce"}, nil},
		} {
			entries, err := o.List(t.Context(), test.filter)
			var got []string
			for _, e := range entries {
				got = append(got, e.ID)
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
}

// TestRefused names a sender whose last answers were all refusals.
func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		verdict := outbox.VerdictSent
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: verdict, Reason: "rejected: rule"}
		})
		o := open(t, c, f)
		start(t, o)
		n := 0
		deliver := func(v outbox.Verdict, event string, times int) {
			t.Helper()
			f.mu.Lock()
			verdict = v
			f.mu.Unlock()
			for range times {
				n++
				f.mu.Lock()
				before := f.counts()[event]
				f.mu.Unlock()
				put(t, o, fmt.Sprint(n))
				f.waitEvents(t, event, before+1)
			}
		}
		refused := func() outbox.Failing {
			t.Helper()
			status, err := o.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return status.Refused[sender]
		}
		deliver(outbox.VerdictRejected, "rejected", 2)
		if got := refused(); got.Attempts != 0 {
			t.Errorf("two refusals: %+v", got)
		}
		deliver(outbox.VerdictDead, "dead", 1)
		if got := refused(); got.Attempts != 3 || got.Reason != "rejected: rule" {
			t.Errorf("three refusals: %+v", got)
		}
		deliver(outbox.VerdictSent, "sent", 1)
		deliver(outbox.VerdictRejected, "rejected", 9)
		if got := refused(); got.Attempts != 0 {
			t.Errorf("one of ten was accepted: %+v", got)
		}
		deliver(outbox.VerdictRejected, "rejected", 1)
		if got := refused(); got.Attempts != 10 {
			t.Errorf("ten refusals: %+v", got)
		}
		status, err := o.Status(t.Context())
		want := []outbox.Rejections{{Sender: sender, Reason: "rejected: rule", Entries: 12}}
		if err != nil || !slices.Equal(status.Rejected, want) {
			t.Errorf("rejected %+v, %v", status.Rejected, err)
		}
	})
}
