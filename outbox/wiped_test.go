package outbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestWipedContentLeavesTheDisk(t *testing.T) {
	f := newFake(sent)
	c := outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}
	o := open(t, c, f)
	put(t, o, "key", func(e *outbox.New) { e.Content = []byte("c0ntent") })
	onDisk := func() bool {
		found := false
		for _, file := range []string{c.SQLite, c.SQLite + "-wal"} {
			data, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(data), "c0ntent")
		}
		return found
	}
	if !onDisk() {
		t.Error("the content isn't where it is looked for")
	}
	start(t, o)
	f.waitEvents(t, "sent", 1)
	// Forgetting somebody truncates the WAL, as the maintenance does from time to time.
	if _, err := o.Forget(t.Context(), "nobody@example.net"); err != nil {
		t.Fatal(err)
	}
	if onDisk() {
		t.Error("the content is still there")
	}
}

// TestPrivateContent is wiped at the end, whichever end that is, where all other content is kept.
func TestPrivateContent(t *testing.T) {
	private := func(n *outbox.New) { n.Private = true }
	claimed := func(n *outbox.New) { n.Claim = time.Hour }
	unrendered := func(n *outbox.New) { n.Unrendered = "broken" }
	for name, test := range map[string]struct {
		change []func(*outbox.New)
		end    func(t *testing.T, o *outbox.Outbox, f *fake, id string)
		kept   bool
	}{
		"sent":                      {end: deliver, kept: true},
		"private and sent":          {change: []func(*outbox.New){private}, end: deliver},
		"settled":                   {change: []func(*outbox.New){claimed}, end: settle, kept: true},
		"private and settled":       {change: []func(*outbox.New){private, claimed}, end: settle},
		"discarded":                 {end: discard, kept: true},
		"private and discarded":     {change: []func(*outbox.New){private}, end: discard},
		"unrendered, and discarded": {change: []func(*outbox.New){unrendered}, end: discard},
		"private as it is rendered": {change: []func(*outbox.New){private, unrendered}, end: render},
	} {
		t.Run(name, func(t *testing.T) {
			onSQLite(t, func(t *testing.T, c outbox.Config) {
				f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
					if d.Unrendered {
						return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &outbox.New{Sender: sender, Content: []byte("x")}}
					}
					return outbox.Result{Verdict: outbox.VerdictSent}
				})
				o := open(t, c, f, func(s *outbox.Settings) { s.KeepContent = true })
				id := put(t, o, "key", test.change...).ID
				test.end(t, o, f, id)
				if entry := get(t, o, id); (entry.Content != nil) != test.kept || entry.Ended.IsZero() {
					t.Errorf("%+v", entry)
				}
			})
		})
	}
}

func deliver(t *testing.T, o *outbox.Outbox, f *fake, _ string) {
	start(t, o)
	f.waitEvents(t, "sent", 1)
}

func settle(t *testing.T, o *outbox.Outbox, _ *fake, id string) {
	if err := o.Settle(t.Context(), id, outbox.New{Key: "key"}, outbox.Result{Verdict: outbox.VerdictSent}); err != nil {
		t.Fatal(err)
	}
}

func discard(t *testing.T, o *outbox.Outbox, _ *fake, id string) {
	if err := o.Discard(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func render(t *testing.T, o *outbox.Outbox, f *fake, id string) {
	if err := o.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, f, id)
}
