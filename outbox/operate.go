package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/rivertype"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Retry tries an entry again that waits, is dead or is unrendered, as if it had just been accepted. The error
// is ErrNotFound for others.
func (o *Outbox) Retry(ctx context.Context, id string) error {
	row, err := o.get(ctx, id)
	if err != nil {
		return err
	}
	after, err := o.retry(ctx, o.store, row)
	if isTaken(err) {
		// Another entry took the key in the meantime: this one goes without.
		if err := o.free(ctx, row.ID); err != nil {
			return err
		}
		if after, err = o.retry(ctx, o.store, row); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case row.meta.Wiped:
		return ErrWiped
	case after == nil:
		return ErrNotFound
	}
	after()
	return nil
}

// ErrWiped says that an entry can't be retried.
var ErrWiped = errors.New("the entry's content was wiped when it expired: it can only be discarded")

// isTaken tells whether a key belongs to another entry.
func isTaken(err error) bool {
	var postgres *pgconn.PgError
	var lite *sqlite.Error
	return errors.As(err, &postgres) && postgres.Code == "23505" || errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// retry makes a row ready to be tried. What it returns is to be called when that is committed, and is nil where the
// entry isn't in a state for it.
func (o *Outbox) retry(ctx context.Context, s *store, row *row) (after func(), err error) {
	if row.State == rivertype.JobStateRunning && row.meta.Waiting {
		return func() {}, nil // it is tried as soon as its sender is released
	}
	if len(row.args.Content) == 0 || row.meta.Claimed {
		return nil, nil
	}
	counted := !isFinal[row.State] && row.State != rivertype.JobStatePending
	m := row.meta
	m.State, m.Tries, m.Retried = "", 0, 0
	m.Revived = m.Revived || !counted
	if m.Taken != 0 {
		// What the account kept back and gave up is sent anew.
		m.Taken, m.Outcome = 0, nil
	}
	// A moment later, because River may still have to write down the end of the last attempt.
	c := change{state: rivertype.JobStateAvailable, meta: &m, due: time.Now().Add(time.Second)}
	changed, err := s.apply(ctx, row.ID, row.args.Key, c, append(waitingStates, rivertype.JobStateDiscarded)...)
	if err != nil || !changed {
		return nil, err
	}
	return func() {
		if !counted {
			o.pending.Add(1)
		}
	}, nil
}

const discardedByOperator = "discarded by the operator"

// Discard takes an entry out that waits, is dead or is unrendered. The error is ErrNotFound for others.
func (o *Outbox) Discard(ctx context.Context, id string) error {
	row, err := o.get(ctx, id)
	if err != nil {
		return err
	}
	changed, err := o.end(ctx, row, Discarded, discardedByOperator)
	if err == nil && !changed {
		err = ErrNotFound
	}
	return err
}

// Progress is how far a change of many entries is.
type Progress struct {
	// Total is how many entries matched when it began.
	Total int `json:"total"`
	// Done is how many were changed, Skipped how many were not in a state for it when it was their turn.
	Done    int `json:"done"`
	Skipped int `json:"skipped"`
}

// RetryAll is Retry for all entries that match, the oldest first: without a State in the filter, for those that are dead,
// unrendered or retrying. It says how far it is after each page.
func (o *Outbox) RetryAll(ctx context.Context, f Filter, progress func(Progress)) (Progress, error) {
	return o.all(ctx, f, []State{Retrying, Dead, Unrendered}, []State{Pending}, progress,
		o.retry, o.Retry)
}

// DiscardAll is Discard for all entries that match and wait, are dead or are unrendered.
func (o *Outbox) DiscardAll(ctx context.Context, f Filter, progress func(Progress)) (Progress, error) {
	discard := func(ctx context.Context, s *store, row *row) (func(), error) {
		return o.endIn(ctx, s, row, Discarded, discardedByOperator)
	}
	return o.all(ctx, f, []State{Dead, Unrendered, Retrying, Pending}, nil, progress, discard, o.Discard)
}

// ErrState says that entries in a state can't be changed so.
var ErrState = errors.New("not possible in this state")

// changePage is how many entries are changed in one transaction.
var changePage = 200

func (o *Outbox) all(ctx context.Context, f Filter, states, more []State, progress func(Progress),
	change func(context.Context, *store, *row) (func(), error), one func(context.Context, string) error,
) (Progress, error) {
	var p Progress
	if !o.ready.Load() {
		return p, ErrUnavailable
	}
	if f.State != "" {
		if !slices.Contains(append(more, states...), f.State) {
			return p, fmt.Errorf("%w: %s", ErrState, f.State)
		}
		states = []State{f.State}
	}
	f.oldestFirst, f.Limit = true, changePage
	// What comes later isn't meant.
	if err := o.store.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM river_job").Scan(&f.last); err != nil {
		return p, err
	}
	for _, f.State = range states {
		n, err := o.matching(ctx, f)
		if err != nil {
			return p, err
		}
		p.Total += n
	}
	progress(p)
	for _, f.State = range states {
		for f.after = 0; ; {
			rows, err := o.pick(ctx, f)
			if err != nil {
				return p, err
			}
			if len(rows) == 0 {
				break
			}
			f.after = rows[len(rows)-1].ID
			done, err := o.page(ctx, rows, change, one)
			p.Done, p.Skipped = p.Done+done, p.Skipped+len(rows)-done
			progress(p)
			if err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// page changes rows in one transaction, or one by one where that fails.
func (o *Outbox) page(ctx context.Context, rows []*row,
	change func(context.Context, *store, *row) (func(), error), one func(context.Context, string) error,
) (done int, err error) {
	var afters []func()
	err = o.store.within(ctx, func(s *store) error {
		for _, row := range rows {
			after, err := change(ctx, s, row)
			if err != nil {
				return err
			}
			if after != nil {
				afters = append(afters, after)
			}
		}
		return nil
	})
	if err == nil {
		for _, after := range afters {
			after()
		}
		return len(afters), nil
	}
	for _, row := range rows {
		switch err := one(ctx, fmt.Sprint(row.ID)); {
		case err == nil:
			done++
		case !errors.Is(err, ErrNotFound):
			return done, err
		}
	}
	return done, nil
}

func (o *Outbox) matching(ctx context.Context, f Filter) (n int, err error) {
	w, err := o.where(ctx, f)
	if err != nil {
		return 0, err
	}
	err = o.windows(ctx, true, func(window string) (bool, error) {
		some := 0
		err := o.store.db.QueryRowContext(ctx, o.store.query(fmt.Sprintf("SELECT count(*) FROM river_job WHERE %s AND %s", w, window)), w.arguments...).Scan(&some)
		n += some
		return true, err
	})
	return n, err
}

// pauseName is the setting that says that a sender is paused.
const pauseName = "paused "

// Pause keeps a sender's entries back until Resume, over restarts and in all processes that share the database: at
// once in this one, within seconds in others.
func (o *Outbox) Pause(ctx context.Context, sender string) error {
	return o.pause(ctx, sender, "INSERT INTO outbox_setting (name, value) VALUES ($1, 'true') ON CONFLICT (name) DO NOTHING")
}

// Resume ends a pause.
func (o *Outbox) Resume(ctx context.Context, sender string) error {
	return o.pause(ctx, sender, "DELETE FROM outbox_setting WHERE name = $1")
}

func (o *Outbox) pause(ctx context.Context, sender, statement string) error {
	if !o.ready.Load() {
		return ErrUnavailable
	}
	if _, err := o.store.exec(ctx, statement, pauseName+sender); err != nil {
		return err
	}
	return o.readPauses(ctx)
}

// readPauses has the gates as the database says.
func (o *Outbox) readPauses(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	rows, err := o.store.db.QueryContext(ctx, "SELECT name FROM outbox_setting WHERE name LIKE '"+pauseName+"%'")
	if err != nil {
		return err
	}
	defer rows.Close()
	paused := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		paused[strings.TrimPrefix(name, pauseName)] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for sender := range paused {
		o.gate(sender)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for sender, gate := range o.gates {
		gate.pause(paused[sender])
	}
	return nil
}
