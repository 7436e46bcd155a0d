package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// Filter picks entries. The zero value picks all.
type Filter struct {
	State    State
	Sender   string
	Template string
	// Recipient is an address.
	Recipient string
	// Since and Until bound the time of acceptance.
	Since, Until time.Time
	// Before is the ID of the last entry of the page before.
	Before string
	// Limit is how many entries a page has. Default: 100.
	Limit int
}

const (
	waitingOrNull = "coalesce(" + isWaiting + ", false)"
	isClaimed     = "(state = 'scheduled' AND metadata->>'claimed' IS NOT NULL)"
	waits         = "(state IN ('available', 'scheduled', 'retryable') AND NOT " + isClaimed + " OR state = 'running' AND " + waitingOrNull + ")"
)

// conditions are what a state is in SQL.
var conditions = map[State]string{
	Unrendered: "state = 'pending'",
	Pending:    waits + " AND metadata->>'attempts' IS NULL AND metadata->>'uncertain' IS NULL",
	Retrying:   waits + " AND (metadata->>'attempts' IS NOT NULL OR metadata->>'uncertain' IS NOT NULL)",
	Sending:    "(state = 'running' AND NOT " + waitingOrNull + " OR " + isClaimed + ")",
	Sent:       "state = 'completed'",
	Dead:       "state = 'discarded'",
	Rejected:   "state = 'cancelled' AND metadata->>'state' = 'rejected'",
	Expired:    "state = 'cancelled' AND metadata->>'state' = 'expired'",
	Discarded:  "state = 'cancelled' AND metadata->>'state' = 'discarded'",
}

func (o *Outbox) pick(ctx context.Context, f Filter) ([]*row, error) {
	if !o.ready.Load() {
		return nil, ErrUnavailable
	}
	where := []string{"kind = 'entry'"}
	var arguments []any
	add := func(condition string, value any) {
		arguments = append(arguments, value)
		where = append(where, fmt.Sprintf(condition, fmt.Sprintf("$%d", len(arguments))))
	}
	if f.State != "" {
		condition, ok := conditions[f.State]
		if !ok {
			return nil, fmt.Errorf("there is no state %q: states are %v", f.State, States)
		}
		where = append(where, condition)
	}
	if f.Sender != "" {
		add("queue = %s", queueOf(f.Sender))
	}
	if f.Template != "" {
		add("metadata->>'template' = %s", f.Template)
	}
	if f.Recipient != "" {
		add("tagged(%s)", o.store.hash(f.Recipient))
	}
	if !f.Since.IsZero() {
		add("created_at >= %s", o.store.time(f.Since))
	}
	if !f.Until.IsZero() {
		add("created_at < %s", o.store.time(f.Until))
	}
	if f.Before != "" {
		id, err := strconv.ParseInt(f.Before, 10, 64)
		if err != nil {
			return nil, ErrNotFound
		}
		add("id < %s", id)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	return o.store.rows(ctx, strings.Join(where, " AND ")+fmt.Sprintf(" ORDER BY id DESC LIMIT %d", f.Limit), arguments...)
}

// List returns a page of entries, the newest first, without content.
func (o *Outbox) List(ctx context.Context, f Filter) ([]Entry, error) {
	rows, err := o.pick(ctx, f)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(rows))
	for i, row := range rows {
		entries[i] = o.entry(&row.JobRow, &row.meta)
	}
	return entries, nil
}

// Get returns an entry with its content. The error is ErrNotFound where there is none.
func (o *Outbox) Get(ctx context.Context, id string) (Entry, error) {
	row, err := o.get(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	entry := o.entry(&row.JobRow, &row.meta)
	entry.Content, err = o.vault.open(row.args.Content)
	return entry, err
}

func (o *Outbox) get(ctx context.Context, id string) (*row, error) {
	if !o.ready.Load() {
		return nil, ErrUnavailable
	}
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, ErrNotFound
	}
	rows, err := o.store.rows(ctx, "id = $1", number)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrNotFound
	}
	return rows[0], nil
}

// Retry tries an entry again that waits, is dead or is unrendered, as if it had just been accepted. The error
// is ErrNotFound for others.
func (o *Outbox) Retry(ctx context.Context, id string) error {
	row, err := o.get(ctx, id)
	if err != nil {
		return err
	}
	if row.State == rivertype.JobStateRunning && row.meta.Waiting {
		return nil // it is tried as soon as its sender is released
	}
	if len(row.args.Content) == 0 || row.meta.Claimed {
		return ErrNotFound
	}
	counted := !isFinal[row.State] && row.State != rivertype.JobStatePending
	m := row.meta
	m.State, m.Tries = "", 0
	// Retries count from now on.
	m.Held = time.Since(row.CreatedAt).Milliseconds()
	// A moment later, because River may still have to write down the end of the last attempt.
	c := change{state: rivertype.JobStateAvailable, meta: &m, due: time.Now().Add(time.Second)}
	from := append(waitingStates, rivertype.JobStateDiscarded)
	changed, err := o.store.apply(ctx, row.ID, row.args.Key, c, from...)
	if err != nil {
		// Another entry took the key in the meantime: this one goes without.
		if _, err := o.store.exec(ctx, "UPDATE river_job SET unique_key = NULL WHERE id = $1", row.ID); err != nil {
			return err
		}
		if changed, err = o.store.apply(ctx, row.ID, row.args.Key, c, from...); err != nil {
			return err
		}
	}
	if !changed {
		return ErrNotFound
	}
	if !counted {
		o.pending.Add(1)
	}
	return nil
}

// Discard takes an entry out that waits, is dead or is unrendered. The error is ErrNotFound for others.
func (o *Outbox) Discard(ctx context.Context, id string) error {
	row, err := o.get(ctx, id)
	if err != nil {
		return err
	}
	if row.meta.Claimed {
		return ErrNotFound
	}
	changed, err := o.end(ctx, row, Discarded, "discarded by the operator")
	if err == nil && !changed {
		err = ErrNotFound
	}
	return err
}

// Forget erases all entries to a recipient, and returns how many. Entries that are being sent are not erased: an
// error says how many.
func (o *Outbox) Forget(ctx context.Context, address string) (int, error) {
	if !o.ready.Load() {
		return 0, ErrUnavailable
	}
	hash := o.store.hash(address)
	n, err := o.store.exec(ctx, "DELETE FROM river_job WHERE state <> 'running' AND tagged($1)", hash)
	if err != nil {
		return 0, err
	}
	if err := o.store.truncate(ctx); err != nil {
		return int(n), err
	}
	rows, err := o.store.rows(ctx, "state = 'running' AND tagged($1)", hash)
	if err == nil && len(rows) > 0 {
		err = fmt.Errorf("%d entries are being sent: run it again in a moment", len(rows))
	}
	return int(n), errors.Join(err, o.count(ctx))
}

// Pause keeps a sender's entries back until Resume, in this process.
func (o *Outbox) Pause(sender string) { o.gate(sender).pause(true) }

// Resume ends a pause.
func (o *Outbox) Resume(sender string) { o.gate(sender).pause(false) }

// Status is what an operator wants to know first.
type Status struct {
	// Counts are the numbers of entries, and Oldest the times of acceptance of the oldest ones.
	Counts map[State]int       `json:"counts"`
	Oldest map[State]time.Time `json:"oldest"`
	// Holds are the senders that are held or paused.
	Holds map[string]Hold `json:"holds"`
	// Unknown are the numbers of undelivered entries of senders that this process has no account for.
	Unknown map[string]int `json:"unknown"`
}

// Hold says why a sender sends nothing.
type Hold struct {
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Paused bool      `json:"paused,omitempty"`
}

// Status counts the entries.
func (o *Outbox) Status(ctx context.Context) (Status, error) {
	status := Status{Counts: make(map[State]int), Oldest: make(map[State]time.Time), Holds: make(map[string]Hold), Unknown: make(map[string]int)}
	if !o.ready.Load() {
		return status, ErrUnavailable
	}
	for state, condition := range conditions {
		var n int
		if err := o.store.db.QueryRowContext(ctx, o.store.query("SELECT count(*) FROM river_job WHERE "+condition)).Scan(&n); err != nil {
			return status, err
		}
		status.Counts[state] = n
		if n == 0 {
			continue
		}
		oldest, err := o.store.rows(ctx, condition+" ORDER BY id LIMIT 1")
		if err != nil {
			return status, err
		}
		if len(oldest) > 0 {
			status.Oldest[state] = oldest[0].CreatedAt
		}
	}
	rows, err := o.store.db.QueryContext(ctx, "SELECT metadata->>'sender', count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable') GROUP BY 1")
	if err != nil {
		return status, err
	}
	defer rows.Close()
	known := make(map[string]bool)
	for _, sender := range o.settings.Load().Senders {
		known[sender] = true
	}
	for rows.Next() {
		var sender string
		var n int
		if err := rows.Scan(&sender, &n); err != nil {
			return status, err
		}
		if !known[sender] {
			status.Unknown[sender] = n
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for sender, g := range o.gates {
		g.mu.Lock()
		if g.reason != "" || g.paused {
			status.Holds[sender] = Hold{Reason: g.reason, Since: g.since, Paused: g.paused}
		}
		g.mu.Unlock()
	}
	return status, rows.Err()
}

// Undelivered returns how many entries wait to be delivered, unrendered and dead ones not counted.
func (o *Outbox) Undelivered() int { return int(o.pending.Load()) }
