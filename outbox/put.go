package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// ErrFull means that there are too many undelivered entries.
var ErrFull = errors.New("the outbox has too many undelivered entries")

// ErrUnavailable means that the database cannot take an entry now. It may be able to later.
var ErrUnavailable = database.ErrUnavailable

// Receipt says what became of an entry that was put.
type Receipt struct {
	ID string
	// Duplicate says that the key was known: ID is that of the first entry with it.
	Duplicate bool
	// Entry is the entry, or the first one with the key, without its content.
	Entry Entry
	// Claimed says that the first entry is being delivered by whoever put it, or was and the outcome is unknown.
	Claimed bool
}

// Put stores an entry. When it returns without an error, the entry is durable. It waits for 5 s at most, and not at
// all while the database is known not to store. Errors wrap ErrFull or ErrUnavailable.
func (o *Outbox) Put(ctx context.Context, entry New) (Receipt, error) {
	s, err := o.opened()
	if err != nil {
		return Receipt{}, err
	}
	if trouble := s.Trouble(); trouble != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, trouble)
	}
	// One patience for all that an entry may need.
	ctx, cancel := database.WithPatience(ctx)
	defer cancel()
	if entry.ID == "" {
		entry.ID = o.NewID()
	}
	if entry.Unrendered == "" && o.Undelivered() >= o.MaxPending() {
		return o.lookUpKey(ctx, s, &entry)
	}
	r := o.newRow(s, &entry)
	release := ""
	for range 3 {
		receipt, done, err := o.insert(ctx, s, &entry, r, release)
		if err != nil {
			return Receipt{}, unavailable(err)
		}
		if done {
			return receipt, nil
		}
		release = receipt.ID
	}
	return Receipt{}, fmt.Errorf("%w: the entry's key changes hands too fast", ErrUnavailable)
}

// unavailable makes any error of the database one that callers know.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// insert stores an entry unless its key is taken, after the entry named by release, if any, has given up the key. done
// is false if it is to be called again, to release the entry that is named in the receipt, or nothing: the one that had
// the key has lost it.
func (o *Outbox) insert(
	ctx context.Context, s *store, entry *New, r *row, release string,
) (receipt Receipt, done bool, err error) {
	statements := insertion(s, entry, r)
	stored := statements[0]
	if release != "" {
		statements = slices.Insert(statements, 0, releaseKey(release))
	}
	write := &database.Write{Statements: statements, Size: len(entry.Content) + 1000, Order: entry.Key}
	if err := s.Write(ctx, write); err != nil {
		return Receipt{}, false, err
	}
	if stored.Changed > 0 {
		o.accepted(r)
		return Receipt{ID: r.ID, Entry: r.Entry}, true, nil
	}
	first, remember, err := s.first(ctx, entry)
	switch {
	case err != nil:
		return Receipt{}, false, err
	case first == nil:
		return Receipt{}, false, nil
	case first.ID == r.ID:
		// It was committed before, by a connection that broke before it answered.
		o.accepted(r)
		return Receipt{ID: r.ID, Entry: r.Entry}, true, nil
	}
	repeats, err := o.repeats(ctx, s, entry, first, remember)
	return Receipt{ID: first.ID, Duplicate: true, Entry: first.Entry, Claimed: first.claimed}, repeats, err
}

func (o *Outbox) accepted(r *row) {
	o.tally.add(r.Sender, tallied{accepted: 1})
	if r.unrendered {
		o.notify(string(Unrendered), r.Entry, r.Reason, 0)
		return
	}
	o.pending.Add(1)
	if !r.claimed {
		o.wake()
	}
}

// repeats reports whether an entry is the same as the first one with its key, which is remembered for a time.
func (o *Outbox) repeats(
	ctx context.Context, s *store, entry *New, first *row, remember time.Duration,
) (bool, error) {
	if first.keyUntil != 0 && first.keyUntil <= o.now().UnixMilli() {
		return false, nil
	}
	if !entry.Ordered || remember == 0 {
		return true, nil
	}
	restated, err := s.isRestated(ctx, entry, first)
	return !restated, err
}

// lookUpKey answers if the outbox is full: a known key still gets its receipt.
func (o *Outbox) lookUpKey(ctx context.Context, s *store, entry *New) (Receipt, error) {
	first, remember, err := s.first(ctx, entry)
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	if first == nil {
		return Receipt{}, ErrFull
	}
	repeats, err := o.repeats(ctx, s, entry, first, remember)
	switch {
	case err != nil:
		return Receipt{}, unavailable(err)
	case !repeats:
		return Receipt{}, ErrFull
	}
	return Receipt{ID: first.ID, Duplicate: true, Entry: first.Entry, Claimed: first.claimed}, nil
}

// first returns the entry that has the key of a new one, or else its former key, or nil. It returns for how long that
// key is remembered.
func (s *store) first(ctx context.Context, entry *New) (*row, time.Duration, error) {
	found, err := s.ofKey(ctx, entry.Key)
	if found != nil || err != nil || entry.FormerKey == "" {
		return found, entry.Remember, err
	}
	found, err = s.ofKey(ctx, entry.FormerKey)
	return found, entry.FormerRemember, err
}

// ofKey returns the entry that has a key, or nil.
func (s *store) ofKey(ctx context.Context, key string) (*row, error) {
	rows, err := s.listed(ctx, "entry WHERE key = $1 AND key_taken = 1", key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func releaseKey(id string) *database.Statement {
	return &database.Statement{SQL: "UPDATE entry SET key_taken = 0 WHERE id = $1", Args: []any{id}}
}

// newRow is an entry as it is inserted.
func (o *Outbox) newRow(s *store, entry *New) *row {
	now := o.now()
	r := &row{
		Entry: Entry{
			ID: entry.ID, State: Pending, Sender: entry.Sender, Subaccount: entry.Subaccount, Hook: entry.Hook,
			Template: entry.Template, Handler: entry.Handler, Trace: entry.Trace, Accepted: now, Due: now,
			Expires: entry.Expires, Private: entry.Private, Reason: entry.Unrendered,
		},
		key: entry.Key, claimed: entry.Claim > 0, unrendered: entry.Unrendered != "",
		stored: o.vault.Load().seal(entry.ID, entry.Content),
	}
	switch {
	case r.claimed:
		r.State, r.keyUntil, r.attempt = Sending, now.Add(entry.Claim).UnixMilli(), 1
	case r.unrendered:
		r.State = Unrendered
	}
	if !r.claimed && entry.Remember > 0 {
		r.keyUntil = now.Add(entry.Remember).UnixMilli()
	}
	for _, recipient := range entry.Recipients {
		if hash := s.hash(recipient); !slices.Contains(r.Recipients, hash) {
			r.Recipients = append(r.Recipients, hash)
		}
	}
	return r
}

const (
	insertEntry = "INSERT INTO entry (" + columns + ", content, lane, ordered, key_taken, lease, owner) SELECT " +
		"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, " +
		"$12, $13, $14, $15, $16, 0, $17, 0, 0, 0, 0, 0, " +
		"$18, $19, '', '', '', $20, $21, $22, 1, $23, '' "
	insertUnlessTaken = insertEntry + "WHERE true ON CONFLICT DO NOTHING"
	// insertUnlessFormer has the former key as an argument too.
	insertUnlessFormer = insertEntry + "WHERE NOT EXISTS (SELECT 1 FROM entry WHERE key = $24 AND key_taken = 1) " +
		"ON CONFLICT DO NOTHING"
)

// insertion is what stores an entry, the entry itself first: nothing if its key is taken.
func insertion(s *store, entry *New, r *row) []*database.Statement {
	lease := int64(0)
	if r.claimed {
		lease = r.keyUntil
	}
	insert := &database.Statement{SQL: insertUnlessTaken, Args: []any{
		r.ID, string(r.State), r.Sender, r.Subaccount, r.Hook, r.Template, r.Handler, r.Trace,
		toInt(r.Private), toInt(r.claimed), toInt(r.unrendered), r.key, r.keyUntil, r.Accepted.UnixMilli(), r.Due.UnixMilli(),
		toMilliseconds(r.Expires), r.attempt, r.Reason, strings.Join(r.Recipients, " "), r.stored,
		laneOf(r), toInt(entry.Ordered), lease,
	}}
	if entry.FormerKey != "" {
		insert.SQL = insertUnlessFormer
		insert.Args = append(insert.Args, entry.FormerKey)
	}
	statements := append([]*database.Statement{insert}, insertRecipients(r)...)
	if s.dialect.Notify != "" && r.State == Pending {
		statements = append(statements, &database.Statement{SQL: s.dialect.Notify})
	}
	return statements
}

func insertRecipients(r *row) []*database.Statement {
	statements := make([]*database.Statement, len(r.Recipients))
	for i, hash := range r.Recipients {
		statements[i] = &database.Statement{
			SQL: "INSERT INTO recipient (hash, entry) SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM entry WHERE id = $2) " +
				"ON CONFLICT DO NOTHING",
			Args: []any{hash, r.ID},
		}
	}
	return statements
}

// laneOf names what is claimed together: urgent entries before others, then by sender, sub-account and template, each
// of which can be held or paused.
func laneOf(r *row) string {
	urgency := "1"
	if r.urgent() {
		urgency = "0"
	}
	return strings.Join([]string{urgency, r.Sender, r.Subaccount, r.Template}, "\n")
}

// lane is what laneOf names.
type lane struct {
	name                         string
	urgent                       bool
	sender, subaccount, template string
	// due is when its first entry is due.
	due time.Time
}

// laneFor returns the lane of an entry, without its name, as far as holds go.
func laneFor(e Entry) lane {
	return lane{sender: e.Sender, subaccount: e.Subaccount, template: e.Template}
}

func parseLane(name string, due int64) lane {
	parts := append(strings.SplitN(name, "\n", 4), "", "", "")
	return lane{name, parts[0] == "0", parts[1], parts[2], parts[3], toTime(due)}
}
