package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// renewLeases says that this process still sends what its workers have in hand. What it claimed without learning of it
// is taken over.
func (o *Outbox) renewLeases(ctx context.Context, s *store) error {
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.inHand))
	o.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	a := new(arguments)
	query := "UPDATE entry SET lease = " + a.add(o.now().Add(leaseEnd).UnixMilli()) +
		" WHERE lease > 0 AND state = 'sending' AND owner LIKE " + a.add(o.process+"-%") +
		" AND id IN (" + a.list(ids) + ")"
	_, err := s.exec(ctx, query, a.values...)
	return err
}

// takeOver takes up what a process that died was sending, and ends what its caller did not settle in time.
func (o *Outbox) takeOver(ctx context.Context, s *store) error {
	now := o.now().UnixMilli()
	return o.takeUp(ctx, s, "lease > 0 AND lease <= $1 AND state = 'sending' ORDER BY lease LIMIT 200", now)
}

// takeUpStrays takes up what is being sent and has no worker: at the start, what this process's predecessor was
// sending. It is for SQLite, whose file has no other process; on PostgreSQL, leases serve for this. The dispatcher
// calls it, which alone begins workers.
func (o *Outbox) takeUpStrays(ctx context.Context, s *store) error {
	return o.takeUp(ctx, s, isSending+" AND claimed = 0")
}

// takeUp decides about entries that are being sent and have no worker of this process.
func (o *Outbox) takeUp(ctx context.Context, s *store, condition string, args ...any) error {
	rows, err := s.listed(ctx, "entry WHERE "+condition, args...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		o.mu.Lock()
		hasWorker := o.inHand[r.ID]
		o.mu.Unlock()
		if hasWorker {
			continue
		}
		if err := o.interrupted(ctx, s, r); err != nil {
			return err
		}
	}
	return nil
}

const unsettled = "the process that was sending it stopped before it stored the outcome: " +
	"it is not known whether it was sent"

// interrupted decides about an entry of whose attempt nothing will be heard.
func (o *Outbox) interrupted(ctx context.Context, s *store, r *row) error {
	now := o.now()
	wait := o.settings.Load().uncertainWait(r.urgent())
	c := &change{state: Uncertain, due: now.Add(wait)}
	reason := "interrupted: it is not known whether it was sent"
	switch {
	case r.unrendered:
		// Rendering sends nothing.
		c.state, c.due, reason = r.waitingState(), now, "interrupted while it was rendered"
	case r.claimed:
		r.unknowns++
		c, reason = o.ending(r, Dead, true), unsettled
		if r.Reason != "" { // its caller was told so
			reason = "it is not known whether it was sent: " + r.Reason
		}
		// Ory's repeats have ended by then, and the operator decides.
		c.freesKey = true
	default:
		if r.unknowns++; r.unknowns >= mostUnknowns {
			c, reason = o.ending(r, Dead, true), "interrupted twice: it may have been sent, and even twice"
		}
	}
	r.note(now, reason)
	changed, err := s.change(ctx, r, Sending, c)
	if err != nil {
		return fmt.Errorf("taking over the entry %s: %w", r.ID, err)
	}
	if !changed {
		return nil // its process was alive after all
	}
	if c.state == Dead {
		o.ended(r, Sending, c)
		return nil
	}
	r.State = c.state
	o.notify("interrupted", r.Entry, r.Reason, wait)
	return nil
}

// keepLeases renews leases and takes over those of others, until the Outbox closes.
func (o *Outbox) keepLeases() {
	tick := time.NewTicker(leaseInterval)
	defer tick.Stop()
	// If the database was away, no process could renew: all get the time for it first.
	renewed, patientUntil := time.Now(), time.Now().Add(leaseEnd)
	for {
		select {
		case <-o.closed.Done():
			return
		case <-tick.C:
		}
		s := o.store.Load()
		if s == nil {
			continue
		}
		err := o.safely("renewing leases", func() error {
			if !s.dialect.Postgres {
				return o.takeOver(o.closed, s)
			}
			err := o.renewLeases(o.closed, s)
			if err != nil || time.Since(renewed) > 2*leaseInterval {
				patientUntil = time.Now().Add(leaseEnd)
			}
			if err != nil {
				return err
			}
			renewed = time.Now()
			if renewed.Before(patientUntil) {
				return nil
			}
			return o.takeOver(o.closed, s)
		})
		o.troubles.set(o, "taking over entries", err)
	}
}
