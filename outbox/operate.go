package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// ErrState means that entries in a state cannot be changed so.
var ErrState = errors.New("not possible in this state")

const discardedByOperator = "discarded by the operator"

// discardable are the states in which the operator may discard.
var discardable = []State{Dead, Unrendered, Retrying, Pending, Uncertain, Backlogged}

// Discard removes an entry that waits, is dead or is unrendered. The error is ErrNotFound for others.
func (o *Outbox) Discard(ctx context.Context, id string) error {
	_, err := o.operate(ctx, id, o.discardRows)
	return err
}

// operation changes rows, and returns how many it has changed.
type operation func(ctx context.Context, s *store, rows []*row) (int, error)

// operate changes an entry, and returns what it was before, or nil if there is none.
func (o *Outbox) operate(ctx context.Context, id string, do operation) (*row, error) {
	s, err := o.opened()
	if err != nil {
		return nil, err
	}
	rows, err := s.marked(ctx, "entry WHERE id = $1", id)
	if err != nil || len(rows) == 0 {
		return nil, cmp.Or(err, ErrNotFound)
	}
	before := *rows[0]
	n, err := do(ctx, s, rows)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return &before, err
}

// Progress is how far a change of many entries is.
type Progress struct {
	// Total is how many entries matched when it began.
	Total int `json:"total"`
	// Done is how many were changed, Skipped how many were not in a state for it when it was their turn.
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
}

// DiscardAll is Discard for all entries that match and wait, are dead or are unrendered.
func (o *Outbox) DiscardAll(ctx context.Context, f Filter, progress func(Progress)) (Progress, error) {
	return o.operateAll(ctx, f, discardable, discardable, progress, o.discardRows)
}

// operatePage is how many entries are changed in one commit.
var operatePage = 200

func (o *Outbox) operateAll(
	ctx context.Context, f Filter, states, possible []State, progress func(Progress), do operation,
) (Progress, error) {
	var p Progress
	s, err := o.opened()
	if err != nil {
		return p, err
	}
	for _, state := range f.States {
		if !slices.Contains(possible, state) {
			return p, fmt.Errorf("%w: %s", ErrState, state)
		}
	}
	if len(f.States) > 0 {
		states = f.States
	}
	// What comes later is not meant.
	f.oldestFirst, f.last, f.Limit = true, o.NewID(), operatePage
	for _, state := range states {
		f.States = []State{state}
		n, err := o.matching(ctx, s, f)
		if err != nil {
			return p, err
		}
		p.Total += n
	}
	progress(p)
	for _, state := range states {
		f.States = []State{state}
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

func (o *Outbox) discardRows(ctx context.Context, s *store, rows []*row) (int, error) {
	return o.endAll(ctx, s, rows, Discarded, discardedByOperator)
}

// endAll ends entries that nobody is sending, and returns how many.
func (o *Outbox) endAll(ctx context.Context, s *store, rows []*row, state State, reason string) (int, error) {
	return o.changeRows(ctx, s, rows, func(r *row) *change {
		if !slices.Contains(discardable, r.State) {
			return nil
		}
		r.note(o.now(), reason)
		return o.ending(r, state, false)
	}, o.ended)
}

// changeRows changes rows in one commit, or one by one if that fails, as long as they are as they were read.
func (o *Outbox) changeRows(
	ctx context.Context, s *store, rows []*row, to func(*row) *change, done func(*row, State, *change),
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
		changed := one.statements[0].Changed > 0
		if alone {
			var err error
			changed, err = s.change(ctx, one.row, one.State, one.change)
			if errors.Is(err, database.ErrConflict) {
				// Another entry took the key meanwhile: this one goes without.
				one.takesKey, one.freesKey = false, true
				changed, err = s.change(ctx, one.row, one.State, one.change)
			}
			if err != nil {
				return n, err
			}
		}
		if !changed {
			continue
		}
		n++
		before := one.State
		one.State = one.state
		done(one.row, before, one.change)
	}
	return n, nil
}
