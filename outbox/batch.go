package outbox

import (
	"context"
	"fmt"

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

// flushApplies commits what came during one commit with the next.
func (o *Outbox) flushApplies() {
	for {
		var batch []*applying
		select {
		case a := <-o.applies:
			batch = append(batch, a)
		case <-o.closed:
			return
		}
	collecting:
		for len(batch) < maxBatch {
			select {
			case a := <-o.applies:
				batch = append(batch, a)
			default:
				break collecting
			}
		}
		o.applyAll(batch)
	}
}

// applyAll commits a batch, or each of it alone where the batch can't be.
func (o *Outbox) applyAll(batch []*applying) {
	updates := make([]statement, len(batch))
	for i, a := range batch {
		updates[i] = a.update
	}
	// Without a context that may end: that costs a goroutine for each statement.
	ctx := context.Background()
	changed, err := o.store.prepared.exec(ctx, updates)
	for i, a := range batch {
		switch {
		case err == nil:
			a.reply <- applied{changed: changed[i] > 0}
		case len(batch) == 1:
			a.reply <- applied{err: err}
		default:
			single, err := o.store.prepared.exec(ctx, updates[i:i+1])
			a.reply <- applied{err == nil && single[0] > 0, err}
		}
	}
}
