package caddymodule

import (
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestLeftBehind names outboxes with undelivered entries until they are delivered, however often Caddy starts.
func TestLeftBehind(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	folder := t.TempDir()
	first, second, third := filepath.Join(folder, "first"), filepath.Join(folder, "second"), filepath.Join(folder, "third")
	for _, file := range []string{first, second} {
		o, err := outbox.Open(t.Context(), outbox.Config{SQLite: file}, outbox.Settings{Senders: []string{"example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		entry := outbox.New{Key: "key", Sender: "example.com", Content: []byte("content")}
		if _, err := o.Put(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, start := range []struct {
		file string // empty on PostgreSQL
		left int
	}{{first, 0}, {second, 1}, {"", 2}, {third, 2}, {third, 2}, {second, 1}, {first, 1}} {
		app := &App{outboxConfig: outbox.Config{SQLite: start.file}, logger: zap.NewNop()}
		app.rememberOutbox()
		if left := app.LeftBehind(); len(left) != start.left {
			t.Errorf("%q leaves %v", start.file, left)
		}
	}
}
