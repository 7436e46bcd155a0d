package outbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestOneProcessHasTheFile(t *testing.T) {
	c := outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}
	open(t, c, newFake(sent))
	if _, err := outbox.Open(t.Context(), c, outbox.Settings{}); err == nil ||
		!strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("opened twice: %v", err)
	}
	if info, err := os.Stat(c.SQLite); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestDatabaseAwayAtTheStart(t *testing.T) {
	f := newFake(sent)
	o := open(t, outbox.Config{Postgres: "postgres://nobody:s3cret@127.0.0.1:1/none"}, f)
	start(t, o)
	_, err := o.Put(t.Context(), outbox.New{Key: "key", Sender: sender})
	if !errors.Is(err, outbox.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}
