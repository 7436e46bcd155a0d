package outbox

import (
	"context"
	"time"
)

// stateOf is a row's state in SQL, as meta.state tells it. It has an index.
const stateOf = `(CASE
	WHEN state = 'pending' THEN 'unrendered'
	WHEN state = 'completed' THEN 'sent'
	WHEN state = 'discarded' THEN 'dead'
	WHEN state = 'cancelled' THEN metadata->>'state'
	WHEN state = 'running' AND (metadata->>'waiting' IS NULL OR NOT ` + isWaiting + `) THEN 'sending'
	WHEN state = 'scheduled' AND metadata->>'claimed' IS NOT NULL THEN 'sending'
	WHEN metadata->>'attempts' IS NULL AND metadata->>'uncertain' IS NULL THEN 'pending'
	ELSE 'retrying' END)`

// indexes are what River has no need of. That of states makes counting and listing cheap beside a million sent
// entries; PostgreSQL finds Mandrill's ids by River's own index of the metadata.
func indexes(postgres bool) []string {
	const (
		expiry = "CREATE INDEX IF NOT EXISTS outbox_expires ON river_job (" + expires + ") WHERE " + mayExpire
		first  = "CREATE INDEX IF NOT EXISTS outbox_first ON river_job ((first(tags))) WHERE " + isOrdered
		second = "CREATE INDEX IF NOT EXISTS outbox_second ON river_job ((second(tags))) WHERE " + isOrdered
	)
	if postgres {
		return []string{expiry, first, second, "CREATE INDEX IF NOT EXISTS outbox_state ON river_job (" + stateOf + ", id)"}
	}
	return []string{
		expiry, first, second,
		"CREATE INDEX IF NOT EXISTS outbox_state ON river_job (" + stateOf + ")",
		"CREATE INDEX IF NOT EXISTS outbox_message ON river_job (" + firstMessage + ") WHERE " + firstMessage + " IS NOT NULL",
		"CREATE INDEX IF NOT EXISTS outbox_messages ON river_job (id) WHERE " + secondMessage + " IS NOT NULL",
	}
}

const (
	// summaryInterval is how often entries are counted, and summaryShare for how large a part of the time at most.
	summaryInterval = 5 * time.Second
	summaryShare    = 20
	// summaryChunk is how many entries are counted in one statement: on SQLite, hooks wait for its end.
	summaryChunk = 20_000
)

// Summary counts the entries.
type Summary struct {
	// Counts are the numbers of entries, and Oldest the times of acceptance of the oldest ones.
	Counts map[State]int       `json:"counts"`
	Oldest map[State]time.Time `json:"oldest"`

	at   time.Time
	took time.Duration
}

// Summary returns what was counted last, some seconds ago or more, without asking the database. It tells whether
// anything was counted yet.
func (o *Outbox) Summary() (Summary, bool) {
	last := o.summary.Load()
	if last == nil {
		return Summary{}, false
	}
	return *last, true
}

// summarizeSometimes counts, if that didn't just take long.
func (o *Outbox) summarizeSometimes(ctx context.Context) error {
	if last := o.summary.Load(); last != nil && time.Since(last.at) < min(last.took*summaryShare, 10*time.Minute) {
		return nil
	}
	_, err := o.summarize(ctx)
	return err
}

// summarize counts all entries by index, in chunks.
func (o *Outbox) summarize(ctx context.Context) (*Summary, error) {
	began := time.Now()
	s := &Summary{Counts: make(map[State]int), Oldest: make(map[State]time.Time)}
	for _, state := range States {
		var last, first int64
		for {
			var n int
			var lowest, highest int64
			err := o.store.row(ctx, "SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0) FROM (SELECT id FROM river_job WHERE "+
				stateOf+" = $1 AND id > $2 ORDER BY id LIMIT $3) AS chunk", []any{string(state), last, summaryChunk}, &n, &lowest, &highest)
			if err != nil {
				return nil, err
			}
			s.Counts[state] += n
			if first == 0 {
				first = lowest
			}
			if n < summaryChunk {
				break
			}
			last = highest
		}
		if first == 0 {
			continue
		}
		oldest, err := o.store.rows(ctx, "id = $1", first)
		if err != nil {
			return nil, err
		}
		if len(oldest) > 0 { // else it was forgotten in the meantime
			s.Oldest[state] = oldest[0].CreatedAt
		}
	}
	s.at, s.took = time.Now(), time.Since(began)
	o.summary.Store(s)
	return s, nil
}

// Status is what an operator wants to know first.
type Status struct {
	Summary
	// Holds are the senders that are held or paused.
	Holds map[string]Hold `json:"holds"`
	// Failing are the senders whose last attempts failed.
	Failing map[string]Failing `json:"failing"`
	// Waiting are the numbers of undelivered entries by sender.
	Waiting map[string]int `json:"waiting"`
	// Unknown are those of Waiting whose sender this process has no account for.
	Unknown map[string]int `json:"unknown"`
}

// Hold says why a sender sends nothing.
type Hold struct {
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Paused bool      `json:"paused,omitempty"`
}

// Failing tells of a sender whose attempts fail, one after the other, though it isn't held.
type Failing struct {
	// Attempts is how many have failed since one was last answered.
	Attempts int `json:"attempts"`
	// Reason is that of the last one.
	Reason string `json:"reason"`
}

// failing are the senders whose last attempts failed in this process.
func (o *Outbox) failing() map[string]Failing {
	failing := make(map[string]Failing)
	o.mu.Lock()
	defer o.mu.Unlock()
	for sender, g := range o.gates {
		g.mu.Lock()
		if g.failures > 0 {
			failing[sender] = Failing{g.failures, g.lastFailure}
		}
		g.mu.Unlock()
	}
	return failing
}

// Status counts the entries as they are now.
func (o *Outbox) Status(ctx context.Context) (Status, error) {
	status := Status{Holds: o.Holds(), Failing: o.failing(), Waiting: make(map[string]int), Unknown: make(map[string]int)}
	if !o.ready.Load() {
		return status, ErrUnavailable
	}
	summary, err := o.summarize(ctx)
	if err != nil {
		return status, err
	}
	status.Summary = *summary
	known := make(map[string]string)
	for _, sender := range o.settings.Load().Senders {
		known[queueOf(sender)] = sender
	}
	byQueue, err := o.waiting(ctx)
	if err != nil {
		return status, err
	}
	for queue, n := range byQueue {
		sender, ok := known[queue]
		if !ok {
			rows, err := o.store.rows(ctx, "queue = $1 AND state IN ('available', 'scheduled', 'retryable', 'running') LIMIT 1", queue)
			if err != nil {
				return status, err
			}
			if len(rows) == 0 {
				continue
			}
			sender = rows[0].meta.Sender
			status.Unknown[sender] = n
		}
		status.Waiting[sender] = n
	}
	return status, nil
}

// waiting counts undelivered entries by River's queue.
func (o *Outbox) waiting(ctx context.Context) (map[string]int, error) {
	rows, err := o.store.db.QueryContext(ctx, "SELECT queue, count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable', 'running') GROUP BY queue")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := make(map[string]int)
	for rows.Next() {
		var queue string
		var n int
		if err := rows.Scan(&queue, &n); err != nil {
			return nil, err
		}
		counts[queue] = n
	}
	return counts, rows.Err()
}

// Holds are the senders that are held or paused in this process.
func (o *Outbox) Holds() map[string]Hold {
	holds := make(map[string]Hold)
	o.mu.Lock()
	defer o.mu.Unlock()
	for sender, g := range o.gates {
		g.mu.Lock()
		if g.reason != "" || g.paused {
			holds[sender] = Hold{Reason: g.reason, Since: g.since, Paused: g.paused}
		}
		g.mu.Unlock()
	}
	return holds
}

// Undelivered returns how many entries wait to be delivered, unrendered and dead ones not counted.
func (o *Outbox) Undelivered() int { return int(o.pending.Load()) }

// Left counts all that is not delivered: what waits, is unrendered or is dead.
func (o *Outbox) Left(ctx context.Context) (n int, err error) {
	if !o.ready.Load() {
		return 0, nil // the database was never reached, and nothing put into it
	}
	err = o.store.row(ctx, "SELECT count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable', 'running', 'pending', 'discarded')", nil, &n)
	return n, err
}

// MaxPending is how many there may be.
func (o *Outbox) MaxPending() int { return o.settings.Load().MaxPending }

// Ready tells whether Put would store, by the lack of an error: ErrUnavailable or ErrFull.
func (o *Outbox) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// SQLite's file doesn't go away, and its one connection may be busy.
	if !o.ready.Load() || o.store.postgres && o.store.db.PingContext(ctx) != nil {
		return ErrUnavailable
	}
	if o.Undelivered() >= o.MaxPending() {
		return ErrFull
	}
	return nil
}
