package outbox_test

import (
	"os"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func withKeys(keys ...string) func(*outbox.Settings) {
	return func(s *outbox.Settings) { s.Keys = keys }
}

// TestSealed rotates the outbox_key, and opens the outbox with others.
func TestSealed(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		first, second, other := outbox.NewKey(), outbox.NewKey(), outbox.NewKey()
		f := newFake(sent)
		o := open(t, c, f, withKeys(first))
		id := put(t, o, "key").ID
		hashes := get(t, o, id).Recipients
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{c.SQLite, c.SQLite + "-wal"} {
			if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "content of key") {
				t.Errorf("%s has the content", file)
			}
		}
		for _, wrong := range [][]string{{other}, nil} {
			_, err := outbox.Open(t.Context(), c, outbox.Settings{Keys: wrong})
			if err == nil || !strings.Contains(err.Error(), "none of the configured outbox_keys opens this outbox") {
				t.Errorf("with %d other keys: %v", len(wrong), err)
			}
		}
		o = open(t, c, f, withKeys(second, first))
		if entry := get(t, o, id); string(entry.Content) != "content of key\x00" {
			t.Errorf("with a second key: %+v", entry)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		// The first one is not needed any more, and hashes stay the same.
		o = open(t, c, f, withKeys(second))
		if entry := get(t, o, id); string(entry.Content) != "content of key\x00" || entry.Recipients[0] != hashes[0] {
			t.Errorf("without the first key: %+v", entry)
		}
		if err := o.Configure(t.Context(), outbox.Settings{Keys: []string{other}}); err == nil {
			t.Error("a reload with another key is accepted")
		}
		start(t, o)
		f.waitEvents(t, "sent", 1)
	})
}

// TestPlainContent is stored before there is a key, and read after it if the last key is none.
func TestPlainContent(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		key := outbox.NewKey()
		f := newFake(sent)
		o := open(t, c, f)
		id := put(t, o, "key").ID
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		o = open(t, c, f, withKeys(key))
		start(t, o)
		f.waitEvents(t, "sealed", 1)
		if entry := get(t, o, id); entry.Content != nil ||
			!strings.Contains(entry.Reason, "add `none` as the last outbox_key") {
			t.Errorf("%+v", entry)
		}
		if status, err := o.Status(t.Context()); err != nil || status.Sealed[sender] != 1 {
			t.Errorf("sealed %v, %v", status.Sealed, err)
		}
		settings := outbox.Settings{Senders: []string{sender}, Deliverer: f, Notify: f.notify, Keys: []string{key, "none"}}
		err := o.Configure(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
	})
}

func TestKeysAreChecked(t *testing.T) {
	for name, keys := range map[string][]string{
		"short": {"c2hvcnQ="}, "no base64": {strings.Repeat("x", 31) + "!"},
		"empty":      {""},
		"none alone": {"none"},
		"none first": {"none", outbox.NewKey()},
	} {
		_, err := outbox.Open(t.Context(), outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, outbox.Settings{Keys: keys})
		if err == nil || !strings.Contains(err.Error(), "caddy mailchimp outbox key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
