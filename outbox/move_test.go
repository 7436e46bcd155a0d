package outbox_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestMoveBackAndForth loses nothing, however often entries are moved between the same two outboxes.
func TestMoveBackAndForth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := outbox.Config{SQLite: t.TempDir() + "/a.db"}
		b := outbox.Config{SQLite: t.TempDir() + "/b.db"}
		add := func(c outbox.Config, key string) {
			o := open(t, c, newFake(sent))
			put(t, o, key)
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		add(a, "0")
		for n := range 4 {
			from, to := a, b
			if n%2 == 1 {
				from, to = b, a
			}
			add(from, fmt.Sprint("more ", n))
			p, err := outbox.Move(t.Context(), from, to, nil, func(outbox.Progress) {})
			if err != nil || p.Done != n+2 {
				t.Fatalf("move %d: %+v, %v", n, p, err)
			}
		}
		f := newFake(sent)
		o := open(t, a, f)
		start(t, o)
		f.waitEvents(t, "sent", 5)
	})
}
