package outbox

import (
	"context"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// change is what is written of an entry by whoever has read it.
type change struct {
	state State
	// due is when an entry that does not end is tried next, ended when one ended.
	due, ended time.Time
	// wipe removes the content, and content replaces it.
	wipe    bool
	content []byte
	// former are the recipients before, if they change with the content.
	former []string
	// freesKey lets another entry have the key, takesKey takes it back.
	freesKey, takesKey bool
}

const (
	changeEntry = "UPDATE entry SET state = $4, due = $5, ended = $6, lease = 0, owner = '', attempts = $7, tries = $8, " +
		"unknowns = $9, retried = $10, holds = $11, backlogged = $12, reason = $13, outcome = $14, " +
		"key_taken = CASE WHEN $15 = 1 THEN 0 WHEN $15 = 2 THEN 1 ELSE key_taken END, revived = $16, key_until = $17, " +
		"claimed = 0"
	wipeEntry   = ", content = NULL"
	renderEntry = ", content = $18, sender = $19, subaccount = $20, lane = $21, private = $22, expires = $23, " +
		"recipients = $24, key = $25, unrendered = 0"
	// fence lets a worker write only while the attempt is its own.
	fence = " WHERE id = $1 AND attempt = $2 AND state = $3"
)

// change stores a change of a row that is in the state from, and reports whether it still was.
func (s *store) change(ctx context.Context, r *row, from State, c *change) (changed bool, err error) {
	statements := c.statements(r, from)
	err = s.Write(ctx, &database.Write{Statements: statements, Order: r.ID})
	return err == nil && statements[0].Changed > 0, err
}

// statements changes a row that is in the state from, while the attempt is still the row's.
func (c *change) statements(r *row, from State) []*database.Statement {
	args := []any{
		r.ID,
		int64(r.attempt),
		string(from),
		string(c.state),
		toMilliseconds(c.due),
		toMilliseconds(c.ended),
		encode(r.Attempts),
		int64(r.tries),
		int64(r.unknowns),
		r.retried.Milliseconds(),
		int64(r.holds),
		toMilliseconds(r.backlogged),
		r.Reason,
		encode(r.Outcome),
		toInt(c.freesKey) + 2*toInt(c.takesKey),
		toInt(r.revived),
		r.keyUntil,
	}
	text := changeEntry + fence
	switch {
	case c.content != nil:
		text = changeEntry + renderEntry + fence
		args = append(args, c.content, r.Sender, r.Subaccount, laneOf(r), toInt(r.Private), toMilliseconds(r.Expires),
			strings.Join(r.Recipients, " "), r.key)
	case c.wipe:
		text = changeEntry + wipeEntry + fence
	}
	statements := []*database.Statement{{SQL: text, Args: args}}
	if c.content != nil {
		for _, hash := range c.former {
			statements = append(statements, &database.Statement{
				SQL: "DELETE FROM recipient WHERE hash = $1 AND entry = $2", Args: []any{hash, r.ID},
			})
		}
		statements = append(statements, insertRecipients(r)...)
	}
	return append(statements, insertMessages(r)...)
}

// insertMessages ties the deliverer's ids of the messages to the entry, so that events find it.
func insertMessages(r *row) []*database.Statement {
	var statements []*database.Statement
	for _, recipient := range r.Outcome {
		if recipient.ID == "" {
			continue
		}
		statements = append(statements, &database.Statement{
			SQL: "INSERT INTO message (id, entry) SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM entry WHERE id = $2) " +
				"ON CONFLICT DO NOTHING",
			Args: []any{recipient.ID, r.ID},
		})
	}
	return statements
}
