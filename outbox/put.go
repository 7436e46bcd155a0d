package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// maxBatch is how many entries one commit takes.
	maxBatch = 128
	// commitTimeout ends a commit that the database doesn't answer. If it was done all the same, the repeat
	// of the hook finds it.
	commitTimeout = 5 * time.Second
)

// Receipt says what became of an entry that was put.
type Receipt struct {
	ID string
	// Duplicate tells that the key was known: ID is that of the first entry with it.
	Duplicate bool
	// Entry is the entry, or the first one with the key, without its content.
	Entry Entry
	// Claimed tells that the first entry is being delivered by who put it, or was, and nobody knows how that ended.
	Claimed bool
}

type put struct {
	entry New
	reply chan putReply
}

type putReply struct {
	receipt Receipt
	id      int64
	// before is the first new entry that came after it and was stored with it, or 0.
	before int64
	err    error
}

// Put stores an entry. When it returns without an error, the entry is durable. Errors are ErrFull and
// ErrUnavailable, wrapped.
func (o *Outbox) Put(ctx context.Context, entry New) (Receipt, error) {
	if !o.ready.Load() {
		return Receipt{}, fmt.Errorf("%w: the database has not been reached yet", ErrUnavailable)
	}
	if entry.Unrendered == "" && o.Undelivered() >= o.MaxPending() {
		return o.known(ctx, entry)
	}
	reply := o.accept(ctx, entry)
	restated, err := o.restated(ctx, entry, reply)
	if err != nil || !restated {
		return reply.receipt, err
	}
	if err := o.free(ctx, reply.id); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	reply = o.accept(ctx, entry)
	return reply.receipt, reply.err
}

// accept has an entry committed with those that wait.
func (o *Outbox) accept(ctx context.Context, entry New) putReply {
	p := &put{entry: entry, reply: make(chan putReply, 1)}
	select {
	case o.puts <- p:
	case <-o.closed:
		return putReply{err: fmt.Errorf("%w: it is closed", ErrUnavailable)}
	case <-ctx.Done():
		return putReply{err: fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())}
	}
	// What was taken is being committed: its end is worth waiting for, or nobody knew of it.
	return <-p.reply
}

// restated tells whether an entry whose key is known is said anew. Its error is that of the reply, or of looking.
func (o *Outbox) restated(ctx context.Context, entry New, reply putReply) (bool, error) {
	r := reply.receipt
	if reply.err != nil || !r.Duplicate || !entry.Ordered || entry.Remember == 0 {
		return false, reply.err
	}
	said := r.Entry
	if len(said.Recipients) == 0 {
		said.Recipients = o.store.tags(entry.Recipients) // it couldn't be rendered
	}
	restated, err := o.shares(ctx, said, "id > %s AND id < %s", reply.id, cmp.Or(reply.before, math.MaxInt64))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return restated, err
}

// free has an entry give up its key.
func (o *Outbox) free(ctx context.Context, id int64) error {
	_, err := o.store.exec(ctx, "UPDATE river_job SET unique_key = NULL WHERE id = $1", id)
	return err
}

// insert stores entries with keys that differ. It tells whether they are committed; what is wrong with one of them after that is
// in its reply.
func (o *Outbox) insert(ctx context.Context, puts []*put) (replies []putReply, err error) {
	params := make([]river.InsertManyParams, len(puts))
	for i, p := range puts {
		if params[i], err = o.params(p.entry); err != nil {
			return nil, err
		}
	}
	results, err := o.client.InsertMany(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	replies = make([]putReply, len(puts))
	for i, result := range results {
		replies[i] = o.reply(ctx, puts[i], result)
	}
	return replies, nil
}

// reply is the answer to an entry that was inserted, or whose key was found.
func (o *Outbox) reply(ctx context.Context, p *put, result *rivertype.JobInsertResult) putReply {
	receipt, expired, err := o.receipt(result)
	switch {
	case err != nil:
		return putReply{err: err}
	case expired:
		if err := o.free(ctx, result.Job.ID); err != nil {
			return putReply{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		}
		return o.insertOne(ctx, p)
	case receipt.Duplicate:
	case p.entry.Unrendered != "":
		o.notify(string(Unrendered), receipt.Entry, p.entry.Unrendered, 0)
	default:
		o.pending.Add(1)
	}
	return putReply{receipt: receipt, id: result.Job.ID}
}

// receipt reads what River says of an insertion. It tells whether that found an entry whose key is free by now.
func (o *Outbox) receipt(result *rivertype.JobInsertResult) (r Receipt, expired bool, err error) {
	var m meta
	if err := json.Unmarshal(result.Job.Metadata, &m); err != nil {
		return r, false, fmt.Errorf("reading the entry %d: %w", result.Job.ID, err)
	}
	r = Receipt{
		ID: strconv.FormatInt(result.Job.ID, 10), Duplicate: result.UniqueSkippedAsDuplicate,
		Entry: o.entry(result.Job, &m), Claimed: m.Claimed,
	}
	return r, r.Duplicate && m.KeyUntil != 0 && m.KeyUntil <= time.Now().UnixMilli(), nil
}

// known answers for an entry that there is no room for, if its key is known.
func (o *Outbox) known(ctx context.Context, entry New) (Receipt, error) {
	params, err := o.params(entry)
	if err != nil {
		return Receipt{}, err
	}
	tx, err := o.store.db.BeginTx(ctx, nil)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	results, err := o.client.InsertManyTx(ctx, tx, []river.InsertManyParams{params})
	_ = tx.Rollback() // it was only to find a duplicate
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	receipt, expired, err := o.receipt(results[0])
	if err != nil {
		return receipt, err
	}
	restated, err := o.restated(ctx, entry, putReply{receipt: receipt, id: results[0].Job.ID})
	if err == nil && (!receipt.Duplicate || expired || restated) {
		err = ErrFull
	}
	return receipt, err
}

func (o *Outbox) params(entry New) (river.InsertManyParams, error) {
	m := newMeta(entry)
	encoded, err := json.Marshal(m)
	if err != nil {
		return river.InsertManyParams{}, err
	}
	var due time.Time
	if m.Claimed {
		due = time.Now().Add(entry.Claim)
	}
	return river.InsertManyParams{
		Args: args{Key: entry.Key, Content: o.vault.Load().seal(entry.Content)},
		InsertOpts: &river.InsertOpts{
			Queue: queueOf(entry.Sender), MaxAttempts: riverAttempts, Metadata: encoded, Tags: o.store.tags(entry.Recipients), Pending: m.Unrendered, ScheduledAt: due,
			// By default, the states that are unique leave out the cancelled and the discarded.
			UniqueOpts: river.UniqueOpts{ByArgs: true},
		},
	}, nil
}

func newMeta(entry New) meta {
	// PostgreSQL takes no NUL in JSON.
	clean := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
	m := meta{
		Sender: entry.Sender, Hook: clean(entry.Hook), Template: clean(entry.Template), Handler: entry.Handler, Trace: clean(entry.Trace),
		Private: entry.Private, Expires: milliseconds(entry.Expires),
		Ordered: entry.Ordered, Unrendered: entry.Unrendered != "", Reason: clean(entry.Unrendered), Claimed: entry.Claim > 0,
	}
	switch {
	case m.Claimed:
		m.KeyUntil = time.Now().Add(entry.Claim).UnixMilli()
	case entry.Remember > 0:
		m.KeyUntil = time.Now().Add(entry.Remember).UnixMilli()
	}
	return m
}

func (o *Outbox) notify(name string, entry Entry, reason string, delay time.Duration) {
	o.settings.Load().Notify(Event{Name: name, Entry: entry, Reason: reason, Delay: delay})
}

// entry makes an Entry of a row, without its content.
func (o *Outbox) entry(row *rivertype.JobRow, m *meta) Entry {
	e := Entry{
		ID: strconv.FormatInt(row.ID, 10), State: m.state(row.State), Sender: m.Sender, Hook: m.Hook, Template: m.Template, Handler: m.Handler,
		Accepted: row.CreatedAt, Expires: fromMilliseconds(m.Expires), Attempts: m.Attempts, Reason: m.Reason,
		Outcome: m.Outcome, Trace: m.Trace, Private: m.Private, Uncertain: m.Uncertain,
		Recipients: row.Tags, Events: m.Events,
	}
	if row.FinalizedAt != nil {
		e.Ended = *row.FinalizedAt
	} else if e.State == Pending || e.State == Retrying {
		e.Due = row.ScheduledAt
	}
	return e
}
