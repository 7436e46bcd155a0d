package outbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	firstProbe = time.Second
	lastProbe  = 30 * time.Second
)

// gate lets a sender's entries pass, or holds them but for one that probes from time to time.
type gate struct {
	mu      sync.Mutex
	reason  string
	since   time.Time
	delay   time.Duration
	next    time.Time
	probing bool
	// paused is the operator's doing.
	paused bool
	// gone tells that this process has no account for the sender any more.
	gone bool
	// failures counts the attempts that failed since the last one that was answered, of whatever reason.
	failures    int
	lastFailure string
	// changed is closed when waiting has to be thought over.
	changed chan struct{}
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// open tells whether an entry may pass without waiting.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason == "" && !g.paused && !g.gone
}

// pass returns when an entry may be tried. It tells whether the entry is a probe, of which held or
// release must then be said. The context's error ends the wait, and
// errGone.
func (g *gate) pass(ctx context.Context) (probe bool, err error) {
	for {
		g.mu.Lock()
		var timer <-chan time.Time
		switch {
		case g.gone:
			g.mu.Unlock()
			return false, errGone
		case g.paused:
		case g.reason == "":
			g.mu.Unlock()
			return false, nil
		case !g.probing:
			wait := time.Until(g.next)
			if wait <= 0 {
				g.probing = true
				g.mu.Unlock()
				return true, nil
			}
			timer = time.After(wait)
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// hold closes the gate, or keeps it closed after a probe that failed. It tells whether it was open. What was on its way when
// the gate was closed, and fails too, changes nothing.
func (g *gate) hold(reason string, atLeast time.Duration, probe bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	opened := g.reason == ""
	switch {
	case opened:
		g.since, g.delay = time.Now(), firstProbe
	case !probe:
		return false
	default:
		g.delay = min(2*g.delay, lastProbe)
	}
	g.reason, g.probing = reason, false
	g.next = time.Now().Add(max(g.delay, min(atLeast, lastProbe)))
	g.change()
	return opened
}

// release opens the gate after a success. It tells whether it was closed.
func (g *gate) release() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := g.reason != ""
	g.reason, g.probing, g.failures = "", false, 0
	if closed {
		g.change()
	}
	return closed
}

// failed counts an attempt that failed without a hold.
func (g *gate) failed(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures++
	g.lastFailure = reason
}

// retry has the next probe go at once: what kept the sender may have been mended.
func (g *gate) retry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay, g.next = firstProbe, time.Now()
	g.change()
}

// leave says that a probe told nothing: another entry is to probe.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	g.next = time.Now().Add(g.delay)
	g.change()
}

// errGone sends those home who wait for a sender that is gone.
var errGone = errors.New("the sender is gone")

func (g *gate) dismiss(gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = gone
	g.change()
}

func (g *gate) pause(paused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused != paused {
		g.paused = paused
		g.change()
	}
}

func (g *gate) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}
