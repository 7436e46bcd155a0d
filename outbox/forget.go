package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// forgetBatch is how many entries are forgotten in one commit, and forgetPause the time between two: hooks are
	// committed in between.
	forgetBatch = 200
	forgetPause = 5 * time.Millisecond
)

// forgetOld forgets entries that ended longer ago than Keep.
func (o *Outbox) forgetOld(ctx context.Context, s *store) error {
	before := o.now().Add(-o.settings.Load().Keep).UnixMilli()
	for _, state := range []State{Sent, Rejected, Expired, Discarded} {
		_, err := o.forget(ctx, s, "SELECT id FROM entry WHERE "+isForgettable+" AND state = $1 AND ended < $2 LIMIT $3",
			string(state), before, int64(forgetBatch))
		if err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, "DELETE FROM tally WHERE time < $1", o.now().Add(-tallyKept).UnixMilli())
	return err
}

// forget deletes the entries that a query picks, batch by batch, and returns how many.
func (o *Outbox) forget(ctx context.Context, s *store, picked string, args ...any) (total int64, err error) {
	for {
		n, err := s.forgetBatch(ctx, picked, args)
		total += n
		if err != nil || n < forgetBatch {
			return total, err
		}
		select {
		case <-time.After(forgetPause):
		case <-ctx.Done():
			return total, ctx.Err()
		}
	}
}

func (s *store) forgetBatch(ctx context.Context, picked string, args []any) (int64, error) {
	ids := new(arguments)
	err := s.Read(ctx, picked, args, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids.add(id)
		return err
	})
	if err != nil || len(ids.values) == 0 {
		return 0, err
	}
	// Always as many, so that one text is compiled.
	for n := len(ids.values); n < forgetBatch; n++ {
		ids.values = append(ids.values, ids.values[0])
	}
	statements := deletion(ids.values, "state <> 'sending'")
	if err = s.Write(ctx, &database.Write{Statements: statements}); err != nil {
		return 0, err
	}
	return statements[0].Changed, nil
}

// deletion deletes entries that meet a condition, and what other tables have of them. The first statement counts the
// entries.
func deletion(ids []any, condition string) []*database.Statement {
	in := " IN (" + places(len(ids)) + ")"
	statements := []*database.Statement{{SQL: "DELETE FROM entry WHERE " + condition + " AND id" + in, Args: ids}}
	for _, table := range []string{"recipient", "message"} {
		statements = append(statements, &database.Statement{
			SQL: "DELETE FROM " + table + " WHERE entry" + in +
				" AND NOT EXISTS (SELECT 1 FROM entry WHERE id = " + table + ".entry)",
			Args: ids,
		})
	}
	return statements
}

// places returns $1, $2, … up to n.
func places(n int) string {
	a := new(arguments)
	return a.list(make([]string, n))
}

// bound drops the oldest of the dead entries, and of the unrendered ones of each hook, where there are more than the
// settings allow, in number or in bytes.
func (o *Outbox) bound(ctx context.Context, s *store) error {
	hooks := []string{}
	const query = "SELECT DISTINCT hook FROM entry WHERE " + isUnrendered
	err := s.Read(ctx, query, nil, func(scan func(...any) error) error {
		var hook string
		err := scan(&hook)
		hooks = append(hooks, hook)
		return err
	})
	if err != nil {
		return err
	}
	if err := o.boundState(ctx, s, Dead, isDead); err != nil {
		return err
	}
	for _, hook := range hooks {
		if err := o.boundState(ctx, s, Unrendered, isUnrendered+" AND hook = $1", hook); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) boundState(ctx context.Context, s *store, state State, condition string, args ...any) error {
	settings := o.settings.Load()
	// The ID of the newest entry that is too much: it and all before it go.
	last, n, size := "", 0, int64(0)
	err := s.Read(ctx, "SELECT id, coalesce(length(content), 0) FROM entry WHERE "+condition+" ORDER BY id DESC", args,
		func(scan func(...any) error) error {
			var id string
			var bytes int64
			if err := scan(&id, &bytes); err != nil {
				return err
			}
			n, size = n+1, size+bytes
			if last == "" && (n > settings.MaxDead || size > settings.MaxDeadBytes) {
				last = id
			}
			return nil
		})
	if err != nil || last == "" {
		return err
	}
	a := &arguments{values: args}
	query := "SELECT id FROM entry WHERE " + condition + " AND id <= " + a.add(last) + " LIMIT " + a.add(forgetBatch)
	dropped, err := o.forget(ctx, s, query, a.values...)
	if dropped > 0 {
		reason := fmt.Sprintf("%d of the oldest %s entries were dropped: there were more than %d of them, "+
			"or more than %d MB", dropped, state, settings.MaxDead, settings.MaxDeadBytes>>20)
		o.notify("lost", Entry{State: state}, reason, 0)
	}
	return err
}

// expire ends entries that have expired and that nobody is sending.
func (o *Outbox) expire(ctx context.Context, s *store) error {
	for {
		rows, err := s.listed(ctx, "entry WHERE expires > 0 AND ended = 0 AND expires <= $1 AND "+
			"state IN ('pending', 'retrying', 'uncertain', 'backlogged', 'unrendered') ORDER BY expires LIMIT $2",
			o.now().UnixMilli(), int64(forgetBatch))
		if err != nil || len(rows) == 0 {
			return err
		}
		ended, err := o.endAll(ctx, s, rows, Expired, "it expired before it could be sent")
		if err != nil || ended < forgetBatch {
			return err
		}
	}
}

// wipeExpired removes the content of dead entries that are private and have expired. They stay listed.
func (o *Outbox) wipeExpired(ctx context.Context, s *store) error {
	_, err := s.exec(ctx, "UPDATE entry SET content = NULL, "+
		"reason = reason || ' (its content was wiped when it expired)' "+
		"WHERE "+isDead+" AND expires > 0 AND expires <= $1 AND private = 1 AND content IS NOT NULL",
		o.now().UnixMilli())
	return err
}

// Forget erases all entries to a recipient, and returns how many. Entries that are being sent are not erased: an error
// says how many.
func (o *Outbox) Forget(ctx context.Context, address string) (int, error) {
	s, err := o.opened()
	if err != nil {
		return 0, err
	}
	a := new(arguments)
	of := "id IN (SELECT entry FROM recipient WHERE hash IN (" + a.list(s.hashes(address)) + "))"
	query := "SELECT id FROM entry WHERE " + of + " AND state <> 'sending' LIMIT " + a.add(forgetBatch)
	erased, err := o.forget(ctx, s, query, a.values...)
	if err != nil {
		return int(erased), err
	}
	busy, err := s.number(ctx, "SELECT count(*) FROM entry WHERE "+of+" AND state = 'sending'",
		a.values[:len(a.values)-1]...)
	if err != nil {
		return int(erased), err
	}
	if err := o.reclaim(ctx, s); err != nil {
		return int(erased), err
	}
	if busy > 0 {
		err = fmt.Errorf("%w: %d entries were erased, and %d are being sent: run it again in a moment",
			ErrState, erased, busy)
	}
	return int(erased), errors.Join(err, o.count(ctx, s))
}
