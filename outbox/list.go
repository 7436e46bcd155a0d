package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Filter picks entries. The zero value picks all.
type Filter struct {
	// States are those that an entry may be in. Default: all.
	States []State
	// Event is the last event that was reported of the mail.
	Event  string
	Sender string
	// Template is as it was configured, or the end of it from a slash on.
	Template string
	// Private has only entries found whose content is private.
	Private bool
	// Recipient is an address, or the hash that an Entry has of it.
	Recipient string
	// Reason is a part of the reason, in any case.
	Reason string
	// Since and Until bound the time of acceptance.
	Since, Until time.Time
	// Before is the ID of the last entry of the page before.
	Before string
	// Limit is how many entries a page has. Default: 100.
	Limit int

	// oldestFirst turns the order round: entries come that are above the ID after, and not above last.
	oldestFirst bool
	after, last string
}

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// where returns a filter as SQL.
func (s *store) where(f Filter, a *arguments) (string, error) {
	conditions := []string{"1 = 1"}
	add := func(format string, values ...any) {
		places := make([]any, len(values))
		for i, value := range values {
			places[i] = a.add(value)
		}
		conditions = append(conditions, fmt.Sprintf(format, places...))
	}
	if len(f.States) > 0 {
		of, err := isIn(f.States, a)
		if err != nil {
			return "", err
		}
		conditions = append(conditions, of)
	}
	if f.Event != "" {
		add("last_event = %s AND last_event <> ''", f.Event)
	}
	if f.Sender != "" {
		add("sender = %s", strings.ToLower(f.Sender))
	}
	if f.Template != "" {
		add(`(template = %s OR template LIKE %s ESCAPE '\')`, f.Template, "%/"+likeEscapes.Replace(f.Template))
	}
	if f.Private {
		conditions = append(conditions, "private = 1")
	}
	if f.Reason != "" {
		add(`lower(reason) LIKE lower(%s) ESCAPE '\'`, "%"+likeEscapes.Replace(f.Reason)+"%")
	}
	if f.Recipient != "" {
		conditions = append(conditions,
			"id IN (SELECT entry FROM recipient WHERE hash IN ("+a.list(s.hashes(f.Recipient))+"))")
	}
	if !f.Since.IsZero() {
		add("id >= %s", firstID(f.Since))
	}
	if !f.Until.IsZero() {
		add("id < %s", firstID(f.Until))
	}
	if f.Before != "" {
		add("id < %s", f.Before)
	}
	if f.oldestFirst {
		add("id > %s AND id <= %s", f.after, f.last)
	}
	return strings.Join(conditions, " AND "), nil
}

// isIn returns the condition that an entry is in one of some states.
func isIn(states []State, a *arguments) (string, error) {
	names := make([]string, len(states))
	for i, state := range states {
		if !state.Valid() {
			return "", fmt.Errorf("there is no state %q: states are %v", state, States)
		}
		names[i] = string(state)
	}
	in := "state IN (" + a.list(names) + ")"
	if !slices.Contains(states, Sent) {
		in += " AND state <> 'sent'" // has the index of all other states be used
	}
	return in, nil
}

func (o *Outbox) pick(ctx context.Context, s *store, f Filter, marked bool) ([]*row, error) {
	a := new(arguments)
	where, err := s.where(f, a)
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	order := "DESC"
	if f.oldestFirst {
		order = "ASC"
	}
	from := "entry WHERE " + where + " ORDER BY id " + order + " LIMIT " + a.add(f.Limit)
	if marked {
		return s.marked(ctx, from, a.values...)
	}
	return s.listed(ctx, from, a.values...)
}

func (o *Outbox) matching(ctx context.Context, s *store, f Filter) (int, error) {
	a := new(arguments)
	where, err := s.where(f, a)
	if err != nil {
		return 0, err
	}
	n, err := s.number(ctx, "SELECT count(*) FROM entry WHERE "+where, a.values...)
	return int(n), err
}

// List returns a page of entries, the newest first, without content.
func (o *Outbox) List(ctx context.Context, f Filter) ([]Entry, error) {
	s, err := o.opened()
	if err != nil {
		return nil, err
	}
	rows, err := o.pick(ctx, s, f, false)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = r.Entry
	}
	return entries, nil
}

// Get returns an entry with its content. The error is ErrNotFound if there is none.
func (o *Outbox) Get(ctx context.Context, id string) (Entry, error) {
	s, err := o.opened()
	if err != nil {
		return Entry{}, err
	}
	rows, err := s.whole(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	if len(rows) == 0 {
		return Entry{}, ErrNotFound
	}
	entry := rows[0].Entry
	if entry.Content, err = o.vault.Load().open(id, rows[0].stored); err != nil {
		entry.Reason = err.Error()
	}
	return entry, nil
}
