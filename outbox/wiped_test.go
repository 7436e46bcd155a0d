package outbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
