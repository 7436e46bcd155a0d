package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Order tells how an entry stands to the others of its sender that share a recipient with it: whether an earlier one
// isn't at its end yet, and whether a later one was sent.
func (o *Outbox) Order(ctx context.Context, entry Entry) (waits, late bool, err error) {
	id, err := strconv.ParseInt(entry.ID, 10, 64)
	if err != nil {
		return false, false, ErrNotFound
	}
	waits, err = o.shares(ctx, entry, fmt.Sprintf("id < %%s AND %s IN ('%s', '%s', '%s')", stateOf, Pending, Sending, Retrying), id)
	if err != nil || waits {
		return waits, false, err
	}
	late, err = o.shares(ctx, entry, fmt.Sprintf("id > %%s AND %s = '%s'", stateOf, Sent), id)
	return false, late, err
}

// shares tells whether an entry of the same sender that shares a recipient meets a condition.
func (o *Outbox) shares(ctx context.Context, entry Entry, condition string, id int64) (bool, error) {
	if len(entry.Recipients) == 0 {
		return false, nil
	}
	w := new(where)
	w.add("kind = 'entry'")
	w.add("queue = %s", queueOf(entry.Sender))
	w.add("("+strings.Join(repeat("tagged(%s)", len(entry.Recipients)), " OR ")+")", values(entry.Recipients)...)
	w.add(condition, id)
	rows, err := o.store.rows(ctx, w.String()+" LIMIT 1", w.arguments...)
	return len(rows) > 0, err
}
