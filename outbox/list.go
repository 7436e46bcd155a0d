package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Filter picks entries. The zero value picks all.
type Filter struct {
	State  State
	Sender string
	// Template is as it was configured, or the end of it from a slash on.
	Template string
	// Recipient is an address, or the hash that an Entry has of it.
	Recipient string
	// Reason is a part of the reason, in any case.
	Reason string
	// Since and Until bound the time of acceptance.
	Since, Until time.Time
	// Before is the ID of the last entry of the page before.
	Before string
	// Limit is how many entries a page has. Default: 100.
	Limit int

	// oldestFirst turns the order round: entries come that are above the ID after, and not above last.
	oldestFirst bool
	after, last int64
}

// where is a filter in SQL.
type where struct {
	conditions []string
	arguments  []any
}

// add adds a condition in which each %s stands for one of the values.
func (w *where) add(condition string, values ...any) {
	var numbers []any
	for _, value := range values {
		w.arguments = append(w.arguments, value)
		numbers = append(numbers, fmt.Sprintf("$%d", len(w.arguments)))
	}
	w.conditions = append(w.conditions, fmt.Sprintf(condition, numbers...))
}

func (w *where) String() string { return strings.Join(w.conditions, " AND ") }

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (o *Outbox) where(ctx context.Context, f Filter) (*where, error) {
	w := new(where)
	w.add("kind = 'entry'")
	if f.State != "" {
		if !f.State.Valid() {
			return nil, fmt.Errorf("there is no state %q: states are %v", f.State, States)
		}
		w.add(stateOf+" = %s", string(f.State))
	}
	if f.Sender != "" {
		w.add("queue = %s", queueOf(strings.ToLower(f.Sender)))
	}
	if f.Template != "" {
		w.add(`(metadata->>'template' = %s OR metadata->>'template' LIKE %s ESCAPE '\')`, f.Template, "%/"+likeEscapes.Replace(f.Template))
	}
	if f.Reason != "" {
		w.add(`lower(metadata->>'reason') LIKE lower(%s) ESCAPE '\'`, "%"+likeEscapes.Replace(f.Reason)+"%")
	}
	if f.Recipient != "" {
		hashes, err := o.store.hashes(ctx, f.Recipient)
		if err != nil {
			return nil, err
		}
		w.add("("+strings.Join(repeat("tagged(%s)", len(hashes)), " OR ")+")", values(hashes)...)
	}
	if !f.Since.IsZero() {
		w.add("created_at >= %s", o.store.time(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("created_at < %s", o.store.time(f.Until))
	}
	if f.Before != "" {
		id, err := strconv.ParseInt(f.Before, 10, 64)
		if err != nil {
			return nil, ErrNotFound
		}
		w.add("id < %s", id)
	}
	if f.oldestFirst {
		w.add("id > %s AND id <= %s", f.after, f.last)
	}
	return w, nil
}

func repeat(s string, n int) []string {
	repeated := make([]string, n)
	for i := range repeated {
		repeated[i] = s
	}
	return repeated
}

func values[T any](list []T) []any {
	converted := make([]any, len(list))
	for i, element := range list {
		converted[i] = element
	}
	return converted
}

func (o *Outbox) pick(ctx context.Context, f Filter) ([]*row, error) {
	if !o.ready.Load() {
		return nil, ErrUnavailable
	}
	w, err := o.where(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	order := "DESC"
	if f.oldestFirst {
		order = "ASC"
	}
	if !f.scans() {
		return o.store.rows(ctx, fmt.Sprintf("%s ORDER BY id %s LIMIT %d", w, order, f.Limit), w.arguments...)
	}
	var found []*row
	err = o.windows(ctx, f.oldestFirst, func(window string) (bool, error) {
		rows, err := o.store.rows(ctx, fmt.Sprintf("%s AND %s ORDER BY id %s LIMIT %d", w, window, order, f.Limit-len(found)), w.arguments...)
		found = append(found, rows...)
		return len(found) < f.Limit, err
	})
	return found, err
}

// scans tells that no index has the filter.
func (f Filter) scans() bool {
	return f.Sender != "" || f.Template != "" || f.Recipient != "" || f.Reason != "" || !f.Since.IsZero() || !f.Until.IsZero()
}

// windowSize is how many IDs are searched in one statement: on SQLite, hooks wait for its end.
const windowSize = 10_000

// windows calls search with conditions that pick some entries each and all together, while it wants more.
func (o *Outbox) windows(ctx context.Context, oldestFirst bool, search func(window string) (more bool, err error)) error {
	var lowest, highest int64
	if err := o.store.db.QueryRowContext(ctx, "SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM river_job").Scan(&lowest, &highest); err != nil {
		return err
	}
	for first := lowest; first <= highest; first += windowSize {
		low := first
		if !oldestFirst {
			low = highest - (first - lowest) - windowSize + 1
		}
		if more, err := search(fmt.Sprintf("id >= %d AND id < %d", low, low+windowSize)); err != nil || !more {
			return err
		}
	}
	return nil
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
	if entry.Content, err = o.vault.Load().open(row.args.Content); err != nil {
		entry.Reason = err.Error()
	}
	return entry, nil
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

// atWork finds rows that are being sent.
const atWork = "(state = 'running' AND NOT coalesce(" + isWaiting + ", false) OR state = 'scheduled' AND metadata->>'claimed' IS NOT NULL)"

// Forget erases all entries to a recipient, and returns how many. Entries that are being sent are not erased: an
// error says how many.
func (o *Outbox) Forget(ctx context.Context, address string) (int, error) {
	if !o.ready.Load() {
		return 0, ErrUnavailable
	}
	w, err := o.where(ctx, Filter{Recipient: address})
	if err != nil {
		return 0, err
	}
	n, busy := 0, 0
	err = o.windows(ctx, true, func(window string) (bool, error) {
		deleted, err := o.store.exec(ctx, fmt.Sprintf("DELETE FROM river_job WHERE NOT "+atWork+" AND %s AND %s", window, w), w.arguments...)
		if err != nil {
			return false, err
		}
		n += int(deleted)
		rows, err := o.store.rows(ctx, fmt.Sprintf(atWork+" AND %s AND %s", window, w), w.arguments...)
		busy += len(rows)
		return true, err
	})
	if err == nil {
		err = o.store.truncate(ctx)
	}
	if err == nil && busy > 0 {
		err = fmt.Errorf("%w: %d entries were erased, and %d are being sent: run it again in a moment", ErrState, n, busy)
	}
	return n, errors.Join(err, o.count(ctx))
}
