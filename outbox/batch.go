package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/riverqueue/river/rivertype"
)

// applying is a change of a row that waits for a commit.
type applying struct {
	update statement
	// after, where it isn't nil, hears how it went.
	after func(changed bool, err error)
	// done is closed when changed and err are set.
	done    chan struct{}
	changed bool
	err     error
}

func (a *applying) end(changed bool, err error) {
	a.changed, a.err = changed, err
	if a.after != nil {
		a.after(changed, err)
	}
	close(a.done)
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
	a := &applying{update: update, done: make(chan struct{})}
	select {
	case o.applies <- a:
	case <-o.closed:
		return false, fmt.Errorf("%w: it is closed", ErrUnavailable)
	case <-ctx.Done():
		return false, ctx.Err()
	}
	<-a.done
	return a.changed, a.err
}

// applySoon is apply for what needn't be durable when it returns. Whoever puts, lists or changes entries after that finds it done.
// What went wrong is heard by after where it was promised, and is the error elsewhere.
func (o *Outbox) applySoon(ctx context.Context, id int64, key string, c change, after func(changed bool, err error), from ...rivertype.JobState) error {
	if !o.store.postgres {
		update, err := o.store.update(id, key, c, from...)
		if err != nil {
			return err
		}
		if o.promise(&applying{update: update, after: after, done: make(chan struct{})}) {
			return nil
		}
	}
	changed, err := o.apply(ctx, id, key, c, from...)
	if err == nil {
		after(changed, nil)
	}
	return err
}

// promise has a change made soon, unless too many wait for that.
func (o *Outbox) promise(a *applying) bool {
	o.promising.Lock()
	defer o.promising.Unlock()
	select {
	case <-o.closed:
		return false
	default:
	}
	select {
	case o.promises <- a:
		o.promised = a
		return true
	default:
		return false
	}
}

// current waits until what was promised is done. The error is ErrUnavailable.
func (o *Outbox) current(ctx context.Context) error {
	if !o.ready.Load() {
		return ErrUnavailable
	}
	o.promising.Lock()
	last := o.promised
	o.promising.Unlock()
	if last == nil {
		return nil
	}
	select {
	case <-last.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// kept are the changes that are promised at the moment.
func (o *Outbox) kept() (all []*applying) {
	for {
		select {
		case a := <-o.promises:
			all = append(all, a)
		default:
			return all
		}
	}
}

// flush commits what waits, all that came during one commit with the next.
func (o *Outbox) flush(ctx context.Context) {
	for {
		var puts []*put
		var updates []*applying
		select {
		case p := <-o.puts:
			puts = append(puts, p)
		case a := <-o.applies:
			updates = append(updates, a)
		case a := <-o.promises:
			updates = append(updates, a)
		case <-ctx.Done():
			o.promising.Lock() // after it, nothing is promised any more
			last := o.kept()
			o.promising.Unlock()
			o.update(context.WithoutCancel(ctx), last)
			return
		}
	collecting:
		for len(puts)+len(updates) < maxBatch {
			select {
			case p := <-o.puts:
				puts = append(puts, p)
			case a := <-o.applies:
				updates = append(updates, a)
			default:
				break collecting
			}
		}
		// An entry finds done what was promised before it came.
		o.commit(context.WithoutCancel(ctx), puts, append(updates, o.kept()...))
	}
}

// commit stores a batch, and those of it that can be stored where the batch can't.
func (o *Outbox) commit(ctx context.Context, puts []*put, updates []*applying) {
	if len(puts) == 0 {
		o.update(ctx, updates)
		return
	}
	patient, cancel := context.WithTimeout(ctx, commitTimeout)
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
	with := &along{all: statementsOf(updates)}
	replies, err := o.insert(patient, firsts, with)
	switch {
	case len(updates) == 0:
	case err == nil:
		for i, a := range updates {
			a.end(with.changed[i] > 0, nil)
		}
	default:
		o.update(ctx, updates)
		replies, err = o.insert(patient, firsts, nil)
	}
	if err != nil {
		replies = o.insertEach(patient, firsts, err)
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
		if single, err := o.insert(ctx, []*put{p}, nil); err != nil {
			replies[i].err = err
		} else {
			replies[i] = single[0]
		}
	}
	return replies
}

func statementsOf(updates []*applying) []statement {
	all := make([]statement, len(updates))
	for i, a := range updates {
		all[i] = a.update
	}
	return all
}

// update commits changes, or each of them alone where they can't be together.
func (o *Outbox) update(ctx context.Context, updates []*applying) {
	if len(updates) == 0 {
		return
	}
	all := statementsOf(updates)
	changed, err := o.store.execAll(ctx, all)
	for i, a := range updates {
		switch {
		case err == nil:
			a.end(changed[i] > 0, nil)
		case len(updates) == 1:
			a.end(false, err)
		default:
			single, err := o.store.execAll(ctx, all[i:i+1])
			a.end(err == nil && single[0] > 0, err)
		}
	}
}

// execAll runs statements in one transaction. It tells how many rows each of them changed.
func (s *store) execAll(ctx context.Context, all []statement) ([]int64, error) {
	var changed []int64
	err := s.within(ctx, func(inside *store) (err error) {
		changed, err = runAll(ctx, inside.tx, all)
		return err
	})
	return changed, err
}

func runAll(ctx context.Context, tx *sql.Tx, all []statement) ([]int64, error) {
	ctx = context.WithoutCancel(ctx) // one that may end costs a goroutine for each statement
	changed := make([]int64, len(all))
	for i, one := range all {
		result, err := tx.ExecContext(ctx, one.query, one.arguments...)
		if err != nil {
			return nil, err
		}
		if changed[i], err = result.RowsAffected(); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// along are changes that are committed with an insertion, whose context has them.
type along struct {
	all     []statement
	changed []int64
}

type alongKey struct{}
