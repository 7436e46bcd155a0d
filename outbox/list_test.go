package outbox_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestListAndForget(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		var ids []string
		for n := range 5 {
			ids = append(ids, put(t, o, fmt.Sprint(n), func(e *outbox.New) {
				e.Recipients = []string{fmt.Sprintf("Person%d@example.net", n%2)}
				e.Template = fmt.Sprintf("t%d", n%3)
			}).ID)
		}
		list := func(filter outbox.Filter) (found []string) {
			entries, err := o.List(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				found = append(found, entry.ID)
			}
			return found
		}
		for name, test := range map[string]struct {
			filter outbox.Filter
			want   []string
		}{
			"all":       {outbox.Filter{}, []string{ids[4], ids[3], ids[2], ids[1], ids[0]}},
			"page":      {outbox.Filter{Limit: 2, Before: ids[3]}, []string{ids[2], ids[1]}},
			"recipient": {outbox.Filter{Recipient: "person1@EXAMPLE.net"}, []string{ids[3], ids[1]}},
			"template":  {outbox.Filter{Template: "t2"}, []string{ids[2]}},
			"state": {
				outbox.Filter{States: []outbox.State{outbox.Pending}, Sender: sender},
				[]string{ids[4], ids[3], ids[2], ids[1], ids[0]},
			},
			"other state":  {outbox.Filter{States: []outbox.State{outbox.Dead}}, nil},
			"other sender": {outbox.Filter{Sender: "example.org"}, nil},
			"since":        {outbox.Filter{Since: time.Now().Add(time.Hour)}, nil},
			"until":        {outbox.Filter{Until: time.Now().Add(time.Hour), Limit: 1}, []string{ids[4]}},
		} {
			if got := list(test.filter); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s: got %v, want %v", name, got, test.want)
			}
		}
		if err := o.Discard(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		if entry := get(t, o, ids[0]); entry.State != outbox.Discarded || entry.Content != nil {
			t.Errorf("%+v", entry)
		}
		if n, err := o.Forget(t.Context(), "Person0@example.net"); n != 3 || err != nil || o.Undelivered() != 2 {
			t.Errorf("forgot %d, %v; %d undelivered", n, err, o.Undelivered())
		}
		if _, err := o.Get(t.Context(), ids[2]); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("after it was forgotten: %v", err)
		}
		status, err := o.Status(t.Context())
		if err != nil || status.Counts[outbox.Pending] != 2 || status.Oldest[outbox.Pending].IsZero() {
			t.Errorf("status %+v, %v", status, err)
		}
	})
}

func TestForgetHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}))
		o := open(t, c, f)
		start(t, o)
		put(t, o, "one")
		f.waitEvents(t, "hold", 1)
		eventually(t, "the entry to be erased", func() bool {
			n, err := o.Forget(t.Context(), "ada@example.net")
			return n == 1 && err == nil
		})
		put(t, o, "two", func(n *outbox.New) { n.Recipients = nil })
		f.waitEvents(t, "sent", 1)
		if len(f.delivered) != 2 {
			t.Errorf("%d deliveries", len(f.delivered))
		}
	})
}
