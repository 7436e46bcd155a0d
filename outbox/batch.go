package outbox

import (
	"context"
	"fmt"

	"github.com/riverqueue/river/rivertype"
)

// applying is a change of a row that waits for a commit.
type applying struct {
	ctx    context.Context
	id     int64
	key    string
	change change
	from   []rivertype.JobState
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
	a := &applying{ctx: ctx, id: id, key: key, change: c, from: from, reply: make(chan applied, 1)}
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
	results := make([]applied, len(batch))
	failed := len(batch) == 1
	if !failed {
		failed = o.store.within(context.Background(), func(s *store) error {
			for i, a := range batch {
				var err error
				if results[i].changed, err = s.apply(a.ctx, a.id, a.key, a.change, a.from...); err != nil {
					return err
				}
			}
			return nil
		}) != nil
	}
	for i, a := range batch {
		if failed {
			results[i].changed, results[i].err = o.store.apply(a.ctx, a.id, a.key, a.change, a.from...)
		}
		a.reply <- results[i]
	}
}
