package outbox_test

import (
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestUnrendered(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		good := false
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch {
			case !d.Unrendered:
				return outbox.Result{Verdict: outbox.VerdictDead, Reason: "it lost its mark"}
			case !good:
				return outbox.Result{Verdict: outbox.VerdictUnrendered, Reason: "still broken"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key", func(n *outbox.New) { n.Unrendered = "template.jsonnet:1:2: broken" })
		if receipt.Entry.State != outbox.Unrendered || o.Undelivered() != 0 {
			t.Errorf("%+v, %d undelivered", receipt, o.Undelivered())
		}
		if again := put(t, o, "key"); !again.Duplicate || again.ID != receipt.ID {
			t.Errorf("the key isn't kept: %+v", again)
		}
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "unrendered", 2)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Unrendered || entry.Reason != "still broken" ||
			string(entry.Content) != "content of key\x00" {
			t.Errorf("%+v", entry)
		}
		f.mu.Lock()
		good = true
		f.mu.Unlock()
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
	})
}

func TestRenderedLater(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		const second = "second.example"
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Unrendered {
				return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &outbox.New{
					Sender:     second,
					Content:    []byte("rendered"),
					Recipients: []string{"grace@example.net"},
					Private:    true,
					Expires:    time.Now().Add(time.Hour),
				}}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Senders, s.KeepContent = []string{sender, second}, true })
		start(t, o)
		receipt := put(t, o, "one", func(n *outbox.New) { n.Unrendered = "broken" })
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		entry := get(t, o, receipt.ID)
		if entry.Sender != second || !entry.Private || entry.Content != nil || entry.Expires.IsZero() ||
			string(f.delivered[1].Content) != "rendered" {
			t.Errorf("%+v", entry)
		}
		for address, want := range map[string]int{"grace@example.net": 1, "Ada@example.net": 0} {
			found, err := o.List(t.Context(), outbox.Filter{Recipient: address})
			if err != nil || len(found) != want {
				t.Errorf("%s finds %d, %v", address, len(found), err)
			}
		}
	})
}
