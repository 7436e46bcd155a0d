package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// later gives the entry back for another attempt.
func (o *Outbox) later(ctx context.Context, s *store, c *claimed, delay time.Duration) error {
	state := c.State
	if state == Sending {
		state = c.waitingState()
	}
	return o.save(ctx, s, c, state, delay)
}

// save stores an entry that does not end. It is tried again no later than it expires.
func (o *Outbox) save(ctx context.Context, s *store, c *claimed, state State, delay time.Duration) error {
	c.Due = o.now().Add(delay)
	if !c.Expires.IsZero() && c.Due.After(c.Expires) {
		c.Due = c.Expires
	}
	return o.write(ctx, s, c, &change{state: state, due: c.Due})
}

// end stores the end of an entry, and wipes its content in the same statement.
func (o *Outbox) end(ctx context.Context, s *store, c *claimed, state State, reason string) error {
	c.note(o.now(), reason)
	change, before := o.ending(c.row, state, c.keepContent), c.State
	if err := o.write(ctx, s, c, change); err != nil {
		return err
	}
	o.ended(c.row, before, change)
	return nil
}

// ending returns the change that ends an entry.
func (o *Outbox) ending(r *row, state State, keepContent bool) *change {
	kept := state == Dead || state == Unrendered || keepContent ||
		o.settings.Load().KeepContent && !r.Private && !r.unrendered
	c := &change{state: state, wipe: !kept, freesKey: freesKey(r, state)}
	if state != Unrendered {
		c.ended = o.now()
	}
	return c
}

// ended counts and reports an end that was stored. The entry was in the state before.
func (o *Outbox) ended(r *row, before State, c *change) {
	r.State, r.Ended = c.state, c.ended
	if before.undelivered() {
		o.pending.Add(-1)
	}
	o.tally.addEnd(r)
	o.notify(string(r.State), r.Entry, r.Reason, 0)
}

// freesKey reports whether another entry may have the key of one that ends: no mail went out, and none may have.
func freesKey(r *row, state State) bool {
	switch state {
	case Rejected:
		return r.unknowns == 0
	case Dead, Expired, Discarded:
		return r.unknowns == 0 && r.backlogged.IsZero()
	}
	return false
}

// rendered makes the entry what it has been rendered to. It is claimed again then, perhaps for another account. If
// the key that it has got belongs to another entry, it is the same mail.
func (o *Outbox) rendered(ctx context.Context, s *store, c *claimed, n *New) error {
	for before := *c.row; ; *c.row = before {
		c.unrendered, c.Sender, c.Subaccount, c.Expires = false, n.Sender, n.Subaccount, n.Expires
		c.Private = c.Private || n.Private
		c.Recipients = nil
		for _, recipient := range n.Recipients {
			c.Recipients = append(c.Recipients, s.hash(recipient))
		}
		if n.Key != "" {
			c.key, c.keyUntil = n.Key, 0
		}
		c.Due = o.now()
		err := o.write(ctx, s, c, &change{
			state: c.waitingState(), due: c.Due, content: o.vault.Load().seal(c.ID, n.Content), former: before.Recipients,
			takesKey: n.Key != "",
		})
		if !errors.Is(err, database.ErrConflict) {
			return err
		}
		first, err := s.ofKey(ctx, n.Key)
		switch {
		case err != nil:
			return err
		case first != nil && (first.keyUntil == 0 || first.keyUntil > o.now().UnixMilli()):
			*c.row = before
			return o.end(ctx, s, c, Discarded, "it is the same mail as the entry "+first.ID)
		case first != nil:
			if err := s.Write(ctx, &database.Write{Statements: []*database.Statement{releaseKey(first.ID)}}); err != nil {
				return err
			}
		}
	}
}

// write stores a change of a claimed entry, again and again until the database takes it: what was sent must not be sent
// again because the database was away for a moment. The error is errTaken if the entry is not this worker's any more,
// and database.ErrConflict if another one has its key.
func (o *Outbox) write(ctx context.Context, s *store, c *claimed, change *change) error {
	from := c.State
	for n := 1; ; n++ {
		statements := change.statements(c.row, from)
		write := &database.Write{Statements: statements, Order: c.ID, Size: 1000 + len(change.content)}
		err := s.Write(context.WithoutCancel(ctx), write)
		if err == nil && statements[0].Changed == 0 {
			err = o.isStored(ctx, s, c, change.state)
		}
		if err == nil {
			if n > 1 { // other entries' outcomes say nothing of one that is not stored
				o.troubles.set(o, "storing outcomes", nil)
			}
			c.State = change.state
			return nil
		}
		if errors.Is(err, database.ErrConflict) {
			return err
		}
		if errors.Is(err, errTaken) {
			if from == Sending { // else the operator decided about it during the look-up
				o.notify("lost", c.Entry, "the entry was taken over while it was sent", 0)
			}
			return err
		}
		o.troubles.set(o, "storing outcomes", err)
		select {
		case <-time.After(min(backoff(n, time.Second, 0)/10, 5*time.Second)):
		case <-ctx.Done():
			return err
		}
	}
}

// errTaken means that the entry is not this worker's any more: another process took it over, or it was forgotten.
var errTaken = errors.New("the entry was taken away")

// isStored returns nil if a change was committed before, by a connection that broke before it answered.
func (o *Outbox) isStored(ctx context.Context, s *store, c *claimed, state State) error {
	n, err := s.number(context.WithoutCancel(ctx),
		"SELECT count(*) FROM entry WHERE id = $1 AND attempt = $2 AND state = $3", c.ID, int64(c.attempt), string(state))
	if err == nil && n == 0 {
		err = errTaken
	}
	return err
}
