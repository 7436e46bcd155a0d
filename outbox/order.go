package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Order tells how an entry stands to the others of its sender that are Ordered and share a recipient with it: whether an earlier
// one isn't at its end yet, and if not, to which of the recipients a later one was sent.
func (o *Outbox) Order(ctx context.Context, entry Entry) (waits bool, late []string, err error) {
	id, err := strconv.ParseInt(entry.ID, 10, 64)
	if err != nil {
		return false, nil, ErrNotFound
	}
	waits, err = o.shares(ctx, entry, fmt.Sprintf("id < %%s AND %s IN ('%s', '%s', '%s')", stateOf, Pending, Sending, Retrying), id)
	if err != nil || waits {
		return waits, nil, err
	}
	for _, recipient := range entry.Recipients {
		alone := Entry{Sender: entry.Sender, Recipients: []string{recipient}}
		sent, err := o.shares(ctx, alone, fmt.Sprintf("id > %%s AND %s = '%s'", stateOf, Sent), id)
		if err != nil {
			return false, nil, err
		}
		if sent {
			late = append(late, recipient)
		}
	}
	return false, late, nil
}

// isOrdered finds rows that have an index of their first two tags.
const isOrdered = "metadata->>'ordered' IS NOT NULL"

// shares tells whether an ordered entry of the same sender that shares a recipient meets a condition.
func (o *Outbox) shares(ctx context.Context, entry Entry, condition string, values ...any) (bool, error) {
	if len(entry.Recipients) == 0 {
		return false, nil
	}
	found, arguments := sharing(entry, condition, values...)
	rows, err := o.store.rows(ctx, found+" LIMIT 1", arguments...)
	return len(rows) > 0, err
}

// sharing is the condition of shares, with its arguments.
func sharing(entry Entry, condition string, values ...any) (string, []any) {
	w := new(where)
	var ids []string
	for _, tag := range []string{"first(tags)", "second(tags)"} {
		for _, recipient := range entry.Recipients {
			w.arguments = append(w.arguments, recipient)
			ids = append(ids, fmt.Sprintf("SELECT id FROM river_job WHERE %s AND %s = $%d", isOrdered, tag, len(w.arguments)))
		}
	}
	w.conditions = []string{"id IN (" + strings.Join(ids, " UNION ALL ") + ")"}
	w.add("queue = %s", queueOf(entry.Sender))
	w.add(condition, values...)
	return w.String(), w.arguments
}
