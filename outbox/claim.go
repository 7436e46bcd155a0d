package outbox

import (
	"context"
	"strconv"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// Settle writes down what became of an entry that was put with a Claim: it ends as sent or rejected, is forgotten
// where nothing went out and its caller was told so, stays claimed where the outcome is unknown, and is delivered further
// where the account holds what it took, which Outcome tells.
func (o *Outbox) Settle(ctx context.Context, id string, entry New, r Result) error {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return ErrNotFound
	}
	m := newMeta(entry)
	m.Claimed, m.Outcome, m.KeyUntil = false, r.Outcome, 0
	if entry.Remember > 0 {
		m.KeyUntil = time.Now().Add(entry.Remember).UnixMilli()
	}
	m.note(time.Now(), r.Reason)
	c := change{meta: &m}
	switch r.Verdict {
	case VerdictSent:
		m.State = Sent
	case VerdictUnknown:
		return nil
	case VerdictHold:
		if r.Outcome == nil {
			return o.giveUp(ctx, number)
		}
		// The account keeps the delivery back: from here on it is an entry as all others.
		m.Taken = time.Now().UnixMilli()
		c.state, c.due, c.content = rivertype.JobStateAvailable, time.Now(), o.vault.Load().seal(entry.Content)
		_, err = o.apply(ctx, number, entry.Key, c, rivertype.JobStateScheduled)
		return err
	case VerdictRejected, VerdictDead:
		m.State = Rejected
	default:
		return o.giveUp(ctx, number)
	}
	c.state = final[m.State]
	if c.wipe = m.Private || !o.settings.Load().KeepContent; !c.wipe {
		c.content = o.vault.Load().seal(entry.Content)
	}
	changed, err := o.apply(ctx, number, entry.Key, c, rivertype.JobStateScheduled)
	if err != nil || !changed {
		return err
	}
	o.pending.Add(-1)
	o.notify(string(m.State), o.entry(&rivertype.JobRow{ID: number, State: c.state}, &m), r.Reason, 0)
	return nil
}

// giveUp forgets a claimed entry of which nothing went out.
func (o *Outbox) giveUp(ctx context.Context, id int64) error {
	n, err := o.store.exec(ctx, "DELETE FROM river_job WHERE id = $1 AND state = 'scheduled'", id)
	o.pending.Add(-n)
	return err
}
