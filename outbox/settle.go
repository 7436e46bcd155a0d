package outbox

import (
	"context"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Settle stores what became of an entry that was put with a Claim. It ends as sent, rejected or dead. It is forgotten
// if nothing went out and its caller was told so. It stays claimed if the outcome is unknown. If the account keeps back
// what it accepted, the entry becomes one as all others.
func (o *Outbox) Settle(ctx context.Context, id string, entry New, r Result) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	rows, err := s.listed(ctx, "entry WHERE id = $1 AND claimed = 1 AND state = 'sending'", id)
	if err != nil || len(rows) == 0 {
		return err
	}
	row := rows[0]
	row.note(o.now(), r.Reason)
	if r.Verdict == VerdictUnknown {
		_, err := s.exec(ctx,
			"UPDATE entry SET attempts = $2, reason = $3 WHERE id = $1 AND claimed = 1 AND state = 'sending'",
			id, encode(row.Attempts), row.Reason)
		return err
	}
	row.Outcome, row.keyUntil = r.Outcome, 0
	if entry.Remember > 0 {
		row.keyUntil = o.now().Add(entry.Remember).UnixMilli()
	}
	var c *change
	switch r.Verdict {
	case VerdictSent:
		c = o.ending(row, Sent, r.KeepContent)
	case VerdictRejected:
		c = o.ending(row, Rejected, false)
	case VerdictDead:
		c = o.ending(row, Dead, false)
	case VerdictBacklogged:
		row.backlogged = o.now()
		c = &change{state: Backlogged, due: row.backlogged.Add(o.settings.Load().LookUpWait)}
	default:
		statements := deletion([]any{id}, "claimed = 1 AND state = 'sending'")
		err := s.Write(ctx, &database.Write{Statements: statements, Order: id})
		if err == nil {
			o.pending.Add(-statements[0].Changed)
		}
		return err
	}
	if changed, err := s.change(ctx, row, Sending, c); !changed {
		return err
	}
	if c.state == Backlogged {
		o.wake()
		return nil
	}
	o.ended(row, Sending, c)
	return nil
}
