package outbox_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestForgetInSteps forgets many entries in commits that leave room for others in between.
func TestForgetInSteps(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		const entries = 700
		var putting sync.WaitGroup
		for n := range entries {
			putting.Go(func() { put(t, o, fmt.Sprint(n)) })
		}
		putting.Wait()
		began := time.Now()
		if n, err := o.Forget(t.Context(), "ada@example.net"); n != entries || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		if took := time.Since(began); took < 15*time.Millisecond {
			t.Errorf("without pauses: it took %v", took)
		}
	})
}

// TestKeep forgets what has ended for long enough, and nothing else.
func TestKeep(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if string(d.Content) == "dead" {
				return outbox.Result{Verdict: outbox.VerdictDead}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Keep = 5 * time.Minute })
		start(t, o)
		gone := put(t, o, "sent").ID
		stays := put(t, o, "dead", func(n *outbox.New) { n.Content = []byte("dead") }).ID
		f.waitEvents(t, "dead", 1)
		time.Sleep(4 * time.Minute)
		get(t, o, gone)
		time.Sleep(2 * time.Minute)
		if _, err := o.Get(t.Context(), gone); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("what was sent: %v", err)
		}
		get(t, o, stays)
	})
}

// TestBounds drops the oldest of what nobody decides about, and reports it.
func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		settings outbox.Settings
		size     int
		// stay is how many of 5 stay.
		stay int
	}{
		"by number":   {outbox.Settings{MaxDead: 3}, 10, 3},
		"by bytes":    {outbox.Settings{MaxDeadBytes: 10_000}, 4000, 2},
		"not reached": {outbox.Settings{MaxDead: 5, MaxDeadBytes: 1 << 20}, 10, 5},
	} {
		for _, state := range []outbox.State{outbox.Dead, outbox.Unrendered} {
			t.Run(name+" "+string(state), func(t *testing.T) {
				onSQLite(t, func(t *testing.T, c outbox.Config) {
					f := newFake(refused)
					o := open(t, c, f, func(s *outbox.Settings) {
						s.MaxDead, s.MaxDeadBytes = test.settings.MaxDead, test.settings.MaxDeadBytes
					})
					start(t, o)
					var ids []string
					for n := range 5 {
						ids = append(ids, put(t, o, fmt.Sprint(n), func(e *outbox.New) {
							e.Content = make([]byte, test.size)
							if state == outbox.Unrendered {
								e.Unrendered = "broken"
							}
						}).ID)
					}
					// Those of another hook have a bound of their own.
					other := put(t, o, "other", func(e *outbox.New) { e.Hook, e.Unrendered = "/other", "broken" }).ID
					f.waitEvents(t, string(state), 5)
					time.Sleep(time.Minute)
					entries, err := o.List(t.Context(), outbox.Filter{States: []outbox.State{state}})
					var left []string
					for _, entry := range entries {
						if entry.ID != other {
							left = append(left, entry.ID)
						}
					}
					if err != nil || len(left) != test.stay || left[0] != ids[4] {
						t.Errorf("%d stay, %v", len(left), err)
					}
					if lost := f.count("lost"); (lost > 0) != (test.stay < 5) {
						t.Errorf("%d times lost", lost)
					}
					get(t, o, other)
				})
			})
		}
	}
}
