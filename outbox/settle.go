package outbox

import (
	"context"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Settle stores what became of an entry that was put with a Claim. It ends as sent or rejected. It is forgotten if
// nothing went out and its caller was told so. It stays claimed if the outcome is unknown. If the account keeps back
// what it accepted, the entry becomes one as all others.
func (o *Outbox) Settle(ctx context.Context, id string, entry New, r Result) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.countRefusals(entry.Sender, r)
	o.mu.Unlock()
	if r.Verdict == VerdictUnknown {
		return nil
	}
	rows, err := s.rows(ctx, "entry WHERE id = $1 AND claimed = 1 AND state = 'sending'", id)
	if err != nil || len(rows) == 0 {
		return err
	}
	row := rows[0]
	now := o.now()
	row.Outcome, row.keyUntil = r.Outcome, 0
	row.note(now, r.Reason)
	change := &change{}
	switch r.Verdict {
	case VerdictSent:
		change.state = Sent
	case VerdictRejected, VerdictDead:
		change.state, change.freesKey = Rejected, true
	case VerdictBacklogged:
		row.backlogged = now
		change.state, change.due = Backlogged, now.Add(o.settings.Load().LookUpWait)
	default:
		n, err := s.exec(ctx, "DELETE FROM entry WHERE id = $1 AND claimed = 1 AND state = 'sending'", id)
		o.pending.Add(-n)
		return err
	}
	if change.state != Backlogged {
		change.ended, change.wipe = now, row.Private || !o.settings.Load().KeepContent
	}
	keyUntil := int64(0)
	if entry.Remember > 0 {
		keyUntil = now.Add(entry.Remember).UnixMilli()
	}
	statements := append(change.statements(row, Sending),
		&database.Statement{SQL: "UPDATE entry SET key_until = $2 WHERE id = $1", Args: []any{id, keyUntil}})
	return o.settled(ctx, s, row, change.state, statements, now)
}

func (o *Outbox) settled(
	ctx context.Context,
	s *store,
	r *row,
	state State,
	statements []*database.Statement,
	now time.Time,
) error {
	if err := s.Write(ctx, &database.Write{Statements: statements, Order: r.ID}); err != nil {
		return err
	}
	if statements[0].Changed == 0 {
		return nil
	}
	r.State, r.Ended = state, now
	if state.undelivered() {
		o.wake()
	} else {
		o.pending.Add(-1)
		o.tally.addEnd(r)
		o.notify(string(state), r.Entry, r.Reason, 0)
	}
	return nil
}
