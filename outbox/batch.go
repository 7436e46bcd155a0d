package outbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/riverqueue/river/rivertype"
)

// applying is a change of a row that waits for a commit.
type applying struct {
	update statement
	reply  chan applied
}

type applied struct {
	changed bool
	err     error
}

// apply is store.apply, committed together with others that wait at the moment: SQLite has one connection, and a commit costs
// a flush of the disk. PostgreSQL does so by itself.
func (o *Outbox) apply(ctx context.Context, id int64, key string, c change, from ...rivertype.JobState) (bool, error) {
	if o.store.postgres {
		return o.store.apply(ctx, id, key, c, from...)
	}
	update, err := o.store.update(id, key, c, from...)
	if err != nil {
		return false, err
	}
	a := &applying{update: update, reply: make(chan applied, 1)}
	select {
	case o.applies <- a:
	case <-o.closed:
		return false, fmt.Errorf("%w: it is closed", ErrUnavailable)
	case <-ctx.Done():
		return false, ctx.Err()
	}
	r := <-a.reply
	return r.changed, r.err
}

// flushPuts commits entries that wait, all that came during one commit with the next.
func (o *Outbox) flushPuts() { flush(o, o.puts, o.commit) }

// flushApplies does so with changes. It is another goroutine because River keeps an insertion waiting while it waits for the workers
// of a queue that goes, and they wait for their changes.
func (o *Outbox) flushApplies() { flush(o, o.applies, o.update) }

// failing is what waits for a commit, and hears where it crashed.
type failing interface{ fail() }

func (p *put) fail()      { answer(p.reply, putReply{err: ErrUnavailable}) }
func (a *applying) fail() { answer(a.reply, applied{err: ErrUnavailable}) }

// answer replies where there was no reply yet. One that was taken already makes this one be read by nobody.
func answer[T any](reply chan T, with T) {
	select {
	case reply <- with:
	default:
	}
}

func flush[T failing](o *Outbox, waiting chan T, commit func([]T)) {
	for {
		var batch []T
		select {
		case one := <-waiting:
			batch = append(batch, one)
		case <-o.closed:
			return
		}
	collecting:
		for len(batch) < maxBatch {
			select {
			case one := <-waiting:
				batch = append(batch, one)
			default:
				break collecting
			}
		}
		guarded(o, batch, commit)
	}
}

// guarded commits a batch, and answers all that wait where that crashes.
func guarded[T failing](o *Outbox, batch []T, commit func([]T)) {
	if o.guard("committing", func() error { commit(batch); return nil }) == nil {
		return
	}
	for _, one := range batch {
		one.fail()
	}
}

// commit stores a batch, and those of it that can be stored where the batch can't.
func (o *Outbox) commit(puts []*put) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	// River refuses a batch that has a key twice.
	var firsts []*put
	place := make(map[string]int, len(puts))
	for _, p := range puts {
		if _, repeated := place[p.entry.Key]; !repeated {
			place[p.entry.Key] = len(firsts)
			firsts = append(firsts, p)
		}
	}
	replies, err := o.insert(ctx, firsts)
	if err != nil {
		replies = o.insertEach(ctx, firsts, err)
	}
	before := int64(0)
	for _, p := range slices.Backward(puts) {
		reply := replies[place[p.entry.Key]]
		reply.before = before
		if firsts[place[p.entry.Key]] != p {
			reply.receipt.Duplicate = reply.err == nil
		} else if reply.err == nil && !reply.receipt.Duplicate {
			before = reply.id
		}
		p.reply <- reply
	}
}

// insertEach stores those of a batch that can be stored, where the batch can't for a reason.
func (o *Outbox) insertEach(ctx context.Context, puts []*put, reason error) []putReply {
	replies := make([]putReply, len(puts))
	if len(puts) == 1 {
		replies[0].err = reason
		return replies
	}
	for i, p := range puts {
		replies[i] = o.insertOne(ctx, p)
	}
	return replies
}

func (o *Outbox) insertOne(ctx context.Context, p *put) putReply {
	replies, err := o.insert(ctx, []*put{p})
	if err != nil {
		return putReply{err: err}
	}
	return replies[0]
}

// update commits changes, or each of them alone where they can't be together.
func (o *Outbox) update(updates []*applying) {
	all := make([]statement, len(updates))
	for i, a := range updates {
		all[i] = a.update
	}
	changed, err := o.store.execAll(all)
	for i, a := range updates {
		switch {
		case err == nil:
			a.reply <- applied{changed: changed[i] > 0}
		case len(updates) == 1:
			a.reply <- applied{err: err}
		default:
			single, err := o.store.execAll(all[i : i+1])
			a.reply <- applied{err == nil && single[0] > 0, err}
		}
	}
}

// execAll runs statements in one transaction. It tells how many rows each of them changed.
func (s *store) execAll(all []statement) ([]int64, error) {
	ctx := context.Background() // one that may end costs a goroutine for each statement
	changed := make([]int64, len(all))
	return changed, s.within(ctx, func(inside *store) error {
		for i, one := range all {
			result, err := inside.tx.ExecContext(ctx, one.query, one.arguments...)
			if err != nil {
				return err
			}
			if changed[i], err = result.RowsAffected(); err != nil {
				return err
			}
		}
		return nil
	})
}
