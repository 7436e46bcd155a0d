package outbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 10: 512 * time.Second, 11: 15 * time.Minute, 12: 15 * time.Minute, 1000: 15 * time.Minute,
	} {
		if got := backoff(n, 0); got != want {
			t.Errorf("attempt %d: %v, want %v", n, got, want)
		}
		if got := backoff(n, 0.999); got < want*3/4 || got >= want {
			t.Errorf("attempt %d with jitter: %v", n, got)
		}
	}
}

// TestGateProbes pins the times at which a held sender is tried.
func TestGateProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		if probe, err := g.pass(t.Context()); probe || err != nil {
			t.Fatalf("open: %v, %v", probe, err)
		}
		began := time.Now()
		if !g.hold("suspended", 0, false) {
			t.Error("it was held already")
		}
		var at []time.Duration
		for range 8 {
			probe, err := g.pass(t.Context())
			if !probe || err != nil {
				t.Fatalf("held: %v, %v", probe, err)
			}
			at = append(at, time.Since(began))
			g.hold("suspended", 0, true)
		}
		want := []time.Duration{1, 3, 7, 15, 31, 61, 91, 121}
		for i := range want {
			if at[i] != want[i]*time.Second {
				t.Fatalf("probes after %v", at)
			}
		}
		// Retry-After counts, within bounds.
		began = time.Now()
		g.release()
		g.hold("rate limit", 10*time.Second, false)
		if _, err := g.pass(t.Context()); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("probe after %v, %v", time.Since(began), err)
		}
		// What was on its way when the sender was held doesn't move the next probe.
		g.hold("rate limit", time.Hour, false)
		g.hold("rate limit", time.Hour, true)
		began = time.Now()
		if _, err := g.pass(t.Context()); err != nil || time.Since(began) != lastProbe {
			t.Errorf("probe after %v, %v", time.Since(began), err)
		}
	})
}

func TestGateReleasesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.hold("suspended", 0, true)
		passed := make(chan bool, 10)
		for range 10 {
			go func() {
				probe, err := g.pass(t.Context())
				if err != nil {
					t.Error(err)
				}
				if probe {
					g.release()
				}
				passed <- probe
			}()
		}
		probes := 0
		for range 10 {
			if <-passed {
				probes++
			}
		}
		if probes != 1 {
			t.Errorf("%d probes", probes)
		}
	})
}

func TestGatePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.pause(true)
		short, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := g.pass(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("paused: %v", err)
		}
		go func() {
			time.Sleep(time.Minute)
			g.pause(false)
		}()
		began := time.Now()
		if _, err := g.pass(t.Context()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("passed after %v, %v", time.Since(began), err)
		}
	})
}

func FuzzVaultOpen(f *testing.F) {
	v, err := newVault([]string{"first", "second"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, []byte("x"))
	f.Add(v.seal([]byte("content")), []byte("content"))
	f.Add([]byte{sealed, 1, 2, 3}, []byte(""))
	f.Fuzz(func(t *testing.T, stored, content []byte) {
		_, _ = v.open(stored) // must not panic
		opened, err := v.open(v.seal(content))
		if err != nil || string(opened) != string(content) {
			t.Errorf("got %q, %v", opened, err)
		}
	})
}
