package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tests that wait for a server have shorter ones.
var (
	maintainInterval = 10 * time.Second
	reachInterval    = 2 * time.Second
)

// maintain reaches a database that was away at the start, and then forgets, expires and counts entries.
func (o *Outbox) maintain() {
	for o.store.Load() == nil {
		select {
		case <-o.closed.Done():
			return
		case <-time.After(reachInterval):
		}
		err := o.safely("reaching the database", func() error {
			ctx, cancel := context.WithTimeout(o.closed, time.Minute)
			defer cancel()
			return o.reach(ctx)
		})
		if o.closed.Err() == nil {
			o.troubles.set(o, reaching, err)
		}
	}
	o.wake()
	o.done.Go(o.keepLeases)
	maintained := time.NewTicker(maintainInterval)
	defer maintained.Stop()
	summarized := time.NewTicker(summaryInterval)
	defer summarized.Stop()
	for {
		var err error
		doing := "maintaining"
		select {
		case <-o.closed.Done():
			return
		case <-maintained.C:
			err = o.safely(doing, func() error { return o.maintainOnce(o.closed, o.store.Load()) })
		case <-summarized.C:
			doing = "counting entries"
			err = o.safely(doing, func() error { return o.summarizeSometimes(o.closed, o.store.Load()) })
		}
		if o.closed.Err() == nil {
			o.troubles.set(o, doing, err)
		}
	}
}

func (o *Outbox) maintainOnce(ctx context.Context, s *store) error {
	o.flushTally(ctx, s)
	return errors.Join(
		o.takeMovedKeys(ctx, s),
		o.count(ctx, s), o.expire(ctx, s), o.wipeExpired(ctx, s), o.bringBack(ctx, s), o.forgetOld(ctx, s), o.bound(ctx, s),
		o.reclaim(ctx, s), o.probeIdle(ctx, s),
	)
}

// takeMovedKeys reads the keys of entries that were moved here by another process.
func (o *Outbox) takeMovedKeys(ctx context.Context, s *store) error {
	n, err := s.number(ctx, "SELECT count(*) FROM setting WHERE name LIKE 'hash_key %'")
	if err != nil || int(n) == len(s.took)-1 {
		return err
	}
	o.life.Lock()
	defer o.life.Unlock()
	wrapping, err := newWrappingKeys(o.settings.Load().Keys)
	if err != nil {
		return err
	}
	return o.rereadKeys(ctx, s, wrapping)
}

// safely makes a panic an error, and logs it.
func (o *Outbox) safely(doing string, do func() error, attributes ...any) (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			// The failure itself may have content of an entry in it.
			o.logger().Error(doing+" crashed",
				append(attributes, "kind", fmt.Sprintf("%T", failure), "stack", string(debug.Stack()))...)
			err = errCrashed
		}
	}()
	return do()
}

// errCrashed was logged.
var errCrashed = errors.New("it crashed: see the log")

// troubles are what fails although the database was reached.
type troubles struct {
	mu     sync.Mutex
	byDeed map[string]string
}

// set records that something fails, or that it succeeds again if err is nil. Each new trouble is logged once.
func (t *troubles) set(o *Outbox, doing string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || errors.Is(err, context.Canceled) {
		delete(t.byDeed, doing)
		return
	}
	if t.byDeed == nil {
		t.byDeed = make(map[string]string)
	}
	if before, has := t.byDeed[doing]; !has || before != err.Error() {
		o.logger().Error(doing, "error", err)
	}
	t.byDeed[doing] = err.Error()
}

func (t *troubles) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []string
	for _, doing := range slices.Sorted(maps.Keys(t.byDeed)) {
		// That the database does not store is said once, by Trouble.
		if text := t.byDeed[doing]; !strings.Contains(text, ErrUnavailable.Error()) {
			found = append(found, doing+": "+text)
		}
	}
	return found
}

// count counts the undelivered entries.
func (o *Outbox) count(ctx context.Context, s *store) error {
	n, err := s.number(ctx, "SELECT count(*) FROM entry WHERE "+isUndelivered)
	if err == nil {
		o.pending.Store(n)
	}
	return err
}

// longestDelay is how far ahead an entry that waits can be due.
const longestDelay = lastRetry + time.Minute

// bringBack makes due at once what is due later than any delay explains: the clock was set back.
func (o *Outbox) bringBack(ctx context.Context, s *store) error {
	now := o.now()
	delays := map[string]time.Duration{isWaiting: longestDelay, isLookedUp: lastLookUp + time.Minute}
	for condition, longest := range delays {
		changed, err := s.exec(ctx, "UPDATE entry SET due = $1 WHERE "+condition+" AND due > $2",
			now.UnixMilli(), now.Add(longest).UnixMilli())
		if err != nil {
			return err
		}
		if changed > 0 {
			o.logger().Warn("entries were due too late and are due now: the clock was set back", "entries", changed)
			o.wake()
		}
	}
	_, err := s.exec(ctx, "UPDATE hold SET probe = $1 WHERE probe > $2",
		now.UnixMilli(), now.Add(longestProbe+time.Minute).UnixMilli())
	return err
}

// reclaim has SQLite's files forget what was wiped and deleted, and give space back, in small steps. PostgreSQL does
// so by itself.
func (o *Outbox) reclaim(ctx context.Context, s *store) error {
	if s.dialect.Postgres {
		return nil
	}
	err := errors.Join(
		s.Maintain(ctx, "PRAGMA incremental_vacuum(500)"),
		s.Maintain(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"),
	)
	if errors.Is(err, ErrUnavailable) {
		return nil // the next round does it
	}
	return err
}
