package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// ErrState means that entries in a state cannot be changed so.
var ErrState = errors.New("not possible in this state")

// ErrWiped means that an entry cannot be retried.
var ErrWiped = errors.New("the entry's content was wiped: it can only be discarded")

const discardedByOperator = "discarded by the operator"

// retryable and discardable are the states in which the operator may do so.
var (
	retryable   = []State{Pending, Retrying, Dead, Unrendered, Rejected, Expired, Discarded}
	discardable = []State{Dead, Unrendered, Retrying, Pending, Uncertain, Backlogged}
)

// Retry queues a waiting, dead, unrendered or finished entry for immediate delivery, as if it had just been accepted.
// The error is ErrWiped if its content is gone, and ErrNotFound for others.
func (o *Outbox) Retry(ctx context.Context, id string) error {
	return o.operate(ctx, id, o.retryRows)
}

// Discard removes an entry that waits, is dead or is unrendered. The error is ErrNotFound for others.
func (o *Outbox) Discard(ctx context.Context, id string) error {
	return o.operate(ctx, id, o.discardRows)
}

// operation changes rows, and returns how many it has changed.
type operation func(ctx context.Context, s *store, rows []*row) (int, error)

func (o *Outbox) operate(ctx context.Context, id string, do operation) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	rows, err := s.rows(ctx, "entry WHERE id = $1", id)
	if err != nil {
		return err
	}
	n, err := do(ctx, s, rows)
	switch {
	case err != nil:
		return err
	case n == 0 && len(rows) == 1 && rows[0].stored == nil && slices.Contains(retryable, rows[0].State):
		return ErrWiped
	case n == 0:
		return ErrNotFound
	}
	return nil
}

// Progress is how far a change of many entries is.
type Progress struct {
	// Total is how many entries matched when it began.
	Total int `json:"total"`
	// Done is how many were changed, Skipped how many were not in a state for it when it was their turn.
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
}

// RetryAll is Retry for all entries that match, the oldest first: without a State in the filter, for those that are
// dead, unrendered or retrying. It calls progress after each page.
func (o *Outbox) RetryAll(ctx context.Context, f Filter, progress func(Progress)) (Progress, error) {
	return o.operateAll(ctx, f, []State{Retrying, Dead, Unrendered}, retryable, progress, o.retryRows)
}

// DiscardAll is Discard for all entries that match and wait, are dead or are unrendered.
func (o *Outbox) DiscardAll(ctx context.Context, f Filter, progress func(Progress)) (Progress, error) {
	return o.operateAll(ctx, f, discardable, discardable, progress, o.discardRows)
}

// operatePage is how many entries are changed in one commit.
var operatePage = 200

func (o *Outbox) operateAll(
	ctx context.Context,
	f Filter,
	states, possible []State,
	progress func(Progress),
	do operation,
) (Progress, error) {
	var p Progress
	s, err := o.opened()
	if err != nil {
		return p, err
	}
	if f.State != "" {
		if !slices.Contains(possible, f.State) {
			return p, fmt.Errorf("%w: %s", ErrState, f.State)
		}
		states = []State{f.State}
	}
	// What comes later is not meant.
	f.oldestFirst, f.last, f.Limit = true, o.NewID(), operatePage
	for _, f.State = range states {
		n, err := o.matching(ctx, s, f)
		if err != nil {
			return p, err
		}
		p.Total += n
	}
	progress(p)
	for _, f.State = range states {
		for f.after = ""; ; {
			rows, err := o.pick(ctx, s, f, true)
			if err != nil {
				return p, err
			}
			if len(rows) == 0 {
				break
			}
			f.after = rows[len(rows)-1].ID
			done, err := do(ctx, s, rows)
			p.Done, p.Skipped = p.Done+done, p.Skipped+len(rows)-done
			progress(p)
			if err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// retryRows makes entries ready to be sent, as if they had just been accepted.
func (o *Outbox) retryRows(ctx context.Context, s *store, rows []*row) (int, error) {
	now := o.now()
	n, err := o.changeRows(ctx, s, rows, func(r *row) *change {
		if r.stored == nil || !slices.Contains(retryable, r.State) {
			return nil
		}
		r.revived = r.revived || !r.State.undelivered()
		r.tries, r.unknowns, r.retried, r.holds = 0, 0, 0, 0
		if !r.backlogged.IsZero() {
			// What the account kept back and gave up is sent again.
			r.Outcome, r.backlogged = nil, time.Time{}
		}
		return &change{state: r.waitingState(), due: now, takesKey: true}
	}, func(r *row, before State) {
		if !before.undelivered() {
			o.pending.Add(1)
		}
	})
	o.wake()
	return n, err
}

func (o *Outbox) discardRows(ctx context.Context, s *store, rows []*row) (int, error) {
	return o.endAll(ctx, s, rows, Discarded, discardedByOperator)
}

// endAll ends entries that nobody is sending, and returns how many.
func (o *Outbox) endAll(ctx context.Context, s *store, rows []*row, state State, reason string) (int, error) {
	now, keeps := o.now(), o.settings.Load().KeepContent
	return o.changeRows(ctx, s, rows, func(r *row) *change {
		if !slices.Contains(discardable, r.State) {
			return nil
		}
		r.note(now, reason)
		return &change{
			state: state, ended: now, wipe: r.Private || r.unrendered || !keeps, freesKey: freesKey(r, state),
		}
	}, func(r *row, before State) {
		if before.undelivered() {
			o.pending.Add(-1)
		}
		r.Ended = now
		o.notify(string(state), r.Entry, reason, 0)
	})
}

// changeRows changes rows in one commit, or one by one if that fails, as long as they are as they were read.
func (o *Outbox) changeRows(
	ctx context.Context,
	s *store,
	rows []*row,
	to func(*row) *change,
	done func(*row, State),
) (int, error) {
	type changing struct {
		*row
		*change
		statements []*database.Statement
	}
	var all []changing
	together := new(database.Write)
	for _, r := range rows {
		c := to(r)
		if c == nil {
			continue
		}
		one := changing{r, c, c.statements(r, r.State)}
		all = append(all, one)
		together.Statements = append(together.Statements, one.statements...)
	}
	if len(all) == 0 {
		return 0, nil
	}
	alone := s.Write(ctx, together) != nil
	n := 0
	for _, one := range all {
		if alone {
			one.statements = one.change.statements(one.row, one.State)
			err := s.Write(ctx, &database.Write{Statements: one.statements})
			if errors.Is(err, database.ErrConflict) {
				// Another entry took the key meanwhile: this one goes without.
				one.takesKey, one.freesKey = false, true
				one.statements = one.change.statements(one.row, one.State)
				err = s.Write(ctx, &database.Write{Statements: one.statements})
			}
			if err != nil {
				return n, err
			}
		}
		if one.statements[0].Changed == 0 {
			continue
		}
		n++
		before := one.State
		one.State = one.state
		done(one.row, before)
	}
	return n, nil
}
