package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"
)

const (
	maintainInterval = 10 * time.Second
	reachInterval    = time.Second
)

// maintain reaches a database that was away at the start, and forgets, expires and counts entries.
func (o *Outbox) maintain(ctx context.Context) {
	for !o.ready.Load() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reachInterval):
		}
		if err := o.upkeep(ctx, o.reach); err != nil && !errors.Is(err, errCrashed) {
			o.logger.Error("reaching the outbox's database", "error", err)
		}
	}
	// A large cleaning must not keep the leases from being renewed.
	o.done.Go(func() { o.hold(ctx) })
	clean := time.NewTicker(maintainInterval)
	defer clean.Stop()
	sum := time.NewTicker(summaryInterval)
	defer sum.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-clean.C:
			err = o.upkeep(ctx, o.clean)
		case <-sum.C:
			err = o.upkeep(ctx, o.summarizeSometimes)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, errCrashed) {
			o.logger.Error("looking after the outbox", "error", err)
		}
	}
}

// guard has a crash be an error.
func (o *Outbox) guard(doing string, do func() error, attributes ...any) (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			// The failure itself may say what is in an entry.
			o.logger.Error(doing+" crashed", append(attributes, "kind", fmt.Sprintf("%T", failure), "stack", string(debug.Stack()))...)
			err = errCrashed
		}
	}()
	return do()
}

// errCrashed was logged.
var errCrashed = errors.New("it crashed: see the log")

// upkeep is guard for what is done from time to time.
func (o *Outbox) upkeep(ctx context.Context, do func(context.Context) error) error {
	return o.guard("looking after the outbox", func() error { return do(ctx) })
}

// hold renews the leases of what this process is at, and takes up what others left behind. It is for PostgreSQL alone, by
// whose clock all processes go: a SQLite file has no other process.
func (o *Outbox) hold(ctx context.Context) {
	if !o.store.postgres {
		return
	}
	lease := time.NewTicker(leaseInterval)
	defer lease.Stop()
	// Where the database was away, no process could renew: all get the time for it first.
	patientUntil := time.Now().Add(leaseEnd)
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lease.C:
		}
		err := o.upkeep(ctx, o.renew)
		if err != nil || time.Since(renewed) > 2*leaseInterval {
			patientUntil = time.Now().Add(leaseEnd)
		}
		if err == nil {
			renewed = time.Now()
			if renewed.After(patientUntil) {
				err = o.upkeep(ctx, o.takeOver)
			}
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, errCrashed) {
			o.logger.Error("renewing the leases of entries", "error", err)
		}
	}
}

// reach prepares the database, and starts what Start could not.
func (o *Outbox) reach(ctx context.Context) error {
	// The tables of an old version may take a while to be migrated.
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := o.prepare(patient); err != nil {
		return err
	}
	o.life.Lock()
	defer o.life.Unlock()
	if o.stop == nil || o.started {
		return nil
	}
	return o.start(ctx)
}

// renew says that the entries in this process's hands are not stuck.
func (o *Outbox) renew(ctx context.Context) error {
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.working))
	o.mu.Unlock()
	if err := o.readPauses(ctx); err != nil || len(ids) == 0 {
		return err
	}
	_, err := o.store.exec(ctx, "UPDATE river_job SET attempted_at = now() WHERE state = 'running' AND id IN ("+list(ids)+")")
	return err
}

// takeOver takes up the entries of processes that don't renew any more. River rescues too, but late where its leader is who
// died.
func (o *Outbox) takeOver(ctx context.Context) error {
	_, err := o.store.exec(ctx, "UPDATE river_job SET state = 'available', scheduled_at = now() WHERE state = 'running' AND attempted_at < now() - make_interval(secs => $1)", leaseEnd.Seconds())
	return err
}

func list(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(words, ", ")
}

// count counts the undelivered entries.
func (o *Outbox) count(ctx context.Context) error {
	var n int64
	err := o.store.row(ctx, "SELECT count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable', 'running')", nil, &n)
	if err == nil {
		o.pending.Store(n)
	}
	return err
}

func (o *Outbox) clean(ctx context.Context) error {
	s := o.settings.Load()
	if err := o.count(ctx); err != nil {
		return err
	}
	if err := o.expire(ctx); err != nil {
		return err
	}
	if _, err := o.purge(ctx, "state IN ('completed', 'cancelled') AND finalized_at < $1 LIMIT $2", o.store.time(time.Now().Add(-s.Keep)), purgeBatch); err != nil {
		return err
	}
	for _, state := range []rivertype.JobState{rivertype.JobStateDiscarded, rivertype.JobStatePending} {
		surplus, err := o.purge(ctx, "state = state($1) ORDER BY id DESC LIMIT $2 OFFSET $3", string(state), purgeBatch, s.MaxDead)
		if err != nil {
			return err
		}
		if surplus > 0 {
			m := meta{State: Dead}
			o.notify("lost", Entry{State: m.state(state)}, fmt.Sprintf("%d of the oldest %s entries were forgotten: there were more than %d", surplus, m.state(state), s.MaxDead), 0)
		}
	}
	return o.store.truncate(ctx)
}

// purgeBatch is how many entries are forgotten in one statement: hooks wait for its end.
const purgeBatch = 2000

// purge forgets the entries that a condition with a limit picks, batch by batch, and returns how many.
func (o *Outbox) purge(ctx context.Context, condition string, arguments ...any) (total int64, err error) {
	for {
		n, err := o.store.exec(ctx, "DELETE FROM river_job WHERE id IN (SELECT id FROM river_job WHERE "+condition+")", arguments...)
		total += n
		if err != nil || n < purgeBatch {
			return total, err
		}
	}
}

// truncate has SQLite's WAL forget what was wiped and deleted. PostgreSQL has no such thing to call.
func (s *store) truncate(ctx context.Context) error {
	if s.postgres {
		return nil
	}
	_, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// expire ends entries that nobody is at, and wipes the content of dead ones that may not be kept longer.
func (o *Outbox) expire(ctx context.Context) error {
	for {
		rows, err := o.store.rows(ctx, mayExpire+" AND "+expires+" <= $1 ORDER BY "+expires+" LIMIT $2", time.Now().UnixMilli(), changePage)
		if err != nil {
			return err
		}
		done, err := o.page(ctx, rows, o.expireIn, o.expireOne)
		if err != nil || done < changePage {
			return err
		}
	}
}

func (o *Outbox) expireIn(ctx context.Context, s *store, row *row) (after func(), err error) {
	if isFinal[row.State] {
		return func() {}, wipe(ctx, s, row)
	}
	return o.endIn(ctx, s, row, Expired, "it expired before it could be sent")
}

func (o *Outbox) expireOne(ctx context.Context, id string) error {
	row, err := o.get(ctx, id)
	if err != nil {
		return err
	}
	after, err := o.expireIn(ctx, o.store, row)
	if after != nil {
		after()
	}
	return err
}

// wipe takes the content of a dead entry away, which stays listed.
func wipe(ctx context.Context, s *store, row *row) error {
	m := row.meta
	m.Wiped = true
	m.Reason += " (its content was wiped when it expired)"
	_, err := s.apply(ctx, row.ID, row.args.Key, change{state: row.State, meta: &m, wipe: true, ended: row.FinalizedAt}, row.State)
	return err
}

var waitingStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStateScheduled, rivertype.JobStateRetryable, rivertype.JobStatePending,
}

// end ends an entry that no worker sends.
func (o *Outbox) end(ctx context.Context, row *row, state State, reason string) (bool, error) {
	after, err := o.endIn(ctx, o.store, row, state, reason)
	if after == nil {
		return false, err
	}
	after()
	return true, nil
}

// endIn is end in a transaction perhaps. What it returns is to be called when that is committed, and is nil where
// the entry isn't in a state for it.
func (o *Outbox) endIn(ctx context.Context, s *store, row *row, state State, reason string) (after func(), err error) {
	if row.meta.Claimed {
		return nil, nil // who put it is sending it
	}
	counted := row.State != rivertype.JobStatePending && !isFinal[row.State]
	m := row.meta
	m.State, m.Uncertain, m.Waiting = state, false, false
	m.note(time.Now(), reason)
	wipe := m.Private || m.Unrendered || !o.settings.Load().KeepContent
	changed, err := s.apply(ctx, row.ID, row.args.Key, change{state: final[state], meta: &m, wipe: wipe, waiting: true}, append(waitingStates, rivertype.JobStateDiscarded)...)
	if err != nil || !changed {
		return nil, err
	}
	return func() {
		if counted {
			o.pending.Add(-1)
		}
		row.State = final[state]
		o.notify(string(state), o.entry(&row.JobRow, &m), reason, 0)
	}, nil
}

// row is a row of river_job with what this package keeps in it.
type row struct {
	rivertype.JobRow
	meta meta
	args args
}

// rows reads the rows that a condition with an order picks.
func (s *store) rows(ctx context.Context, condition string, arguments ...any) ([]*row, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	result, err := s.run().QueryContext(ctx, s.query("SELECT id, state, text(args), text(metadata), list(tags), created_at, scheduled_at, finalized_at FROM river_job WHERE "+condition), arguments...)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	var found []*row
	for result.Next() {
		r := new(row)
		var arguments, metadata, tags string
		if err := result.Scan(&r.ID, &r.State, &arguments, &metadata, &tags, &r.CreatedAt, &r.ScheduledAt, &r.FinalizedAt); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(metadata), &r.meta); err != nil {
			return nil, fmt.Errorf("reading the entry %d: %w", r.ID, err)
		}
		if err := json.Unmarshal([]byte(arguments), &r.args); err != nil {
			return nil, fmt.Errorf("reading the entry %d: %w", r.ID, err)
		}
		if err := json.Unmarshal([]byte(tags), &r.Tags); err != nil {
			return nil, fmt.Errorf("reading the entry %d: %w", r.ID, err)
		}
		found = append(found, r)
	}
	return found, result.Err()
}
