package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// MailEvent is what was heard of a mail after it was sent.
type MailEvent struct {
	Time time.Time `json:"time"`
	// Event is a word such as delivered.
	Event string `json:"event"`
	// Message is the deliverer's id of the mail to one recipient.
	Message string `json:"message,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Heard ties an event to an entry.
type Heard struct {
	// Entry is the ID of an entry, or empty: then the entry is found by the message's id. A message's id that is none of the
	// entry's contradicts it.
	Entry string
	MailEvent
}

// Noted is what became of a Heard.
type Noted struct {
	// Entry is the entry. Its ID is empty where there is none any more.
	Entry Entry
	// New tells that the event wasn't known.
	New bool
}

const (
	// maxEvents is how many events are kept in an entry.
	maxEvents = 50
	// noteBatch is how many events are noted in one transaction.
	noteBatch = 100

	// An outcome is a list of objects. Those with _id can be found by it.
	firstMessage  = "(metadata->'outcome'->0->>'_id')"
	secondMessage = "(metadata->'outcome'->1)"
)

// Note keeps events with their entries. When it fails, the same events may be noted again: none is kept twice.
func (o *Outbox) Note(ctx context.Context, heard []Heard) ([]Noted, error) {
	if !o.ready.Load() {
		return nil, ErrUnavailable
	}
	noted := make([]Noted, 0, len(heard))
	for batch := range slices.Chunk(heard, noteBatch) {
		err := o.store.within(ctx, func(s *store) error {
			for _, h := range batch {
				n, err := o.note(ctx, s, h)
				if err != nil {
					return err
				}
				noted = append(noted, n)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return noted, nil
}

func (o *Outbox) note(ctx context.Context, s *store, h Heard) (Noted, error) {
	row, err := s.entryOf(ctx, h)
	if err != nil || row == nil {
		return Noted{New: true}, err
	}
	events := row.meta.Events
	for _, known := range events {
		if known.Event == h.Event && known.Message == h.Message && known.Time.Equal(h.Time) {
			return Noted{Entry: o.entry(&row.JobRow, &row.meta)}, nil
		}
	}
	events = append(events, h.MailEvent)
	slices.SortStableFunc(events, func(a, b MailEvent) int { return a.Time.Compare(b.Time) })
	if len(events) > maxEvents {
		// What is heard again and again goes first.
		repeated := slices.IndexFunc(events, func(e MailEvent) bool { return e.Event == h.Event })
		events = slices.Delete(events, repeated, repeated+1)
	}
	row.meta.Events = events
	encoded, err := json.Marshal(events)
	if err != nil {
		return Noted{}, err
	}
	if _, err := s.exec(ctx, "UPDATE river_job SET metadata = set_events(metadata) WHERE id = $1", row.ID, string(encoded)); err != nil {
		return Noted{}, err
	}
	return Noted{Entry: o.entry(&row.JobRow, &row.meta), New: true}, nil
}

// entryOf finds the row of an event, locked, or nil.
func (s *store) entryOf(ctx context.Context, h Heard) (*row, error) {
	lock := ""
	if s.postgres {
		lock = " FOR UPDATE"
	}
	if id, err := strconv.ParseInt(h.Entry, 10, 64); err == nil {
		rows, err := s.rows(ctx, "id = $1"+lock, id)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && rows[0].mayBe(h.Message) {
			return rows[0], nil
		}
	}
	if h.Message == "" {
		return nil, nil
	}
	return s.entryOfMessage(ctx, h.Message, lock)
}

func (s *store) entryOfMessage(ctx context.Context, message, lock string) (*row, error) {
	conditions := []string{
		firstMessage + " = $1",
		secondMessage + " IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(metadata->'outcome') AS recipient WHERE recipient.value->>'_id' = $1)",
	}
	argument := message
	if s.postgres {
		conditions = []string{"metadata @> json($1)"}
		encoded, err := json.Marshal(map[string]any{"outcome": []any{map[string]string{"_id": message}}})
		if err != nil {
			return nil, err
		}
		argument = string(encoded)
	}
	for _, condition := range conditions {
		rows, err := s.rows(ctx, condition+" LIMIT 1"+lock, argument)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			return rows[0], nil
		}
	}
	return nil, nil
}

// mayBe tells whether a message's id doesn't contradict what was said when the entry was delivered. Entries of other
// databases, whose mails go through the same account, have the same IDs.
func (r *row) mayBe(message string) bool {
	var outcome []struct {
		ID string `json:"_id"`
	}
	if message == "" || json.Unmarshal(r.meta.Outcome, &outcome) != nil {
		return true
	}
	known := false
	for _, recipient := range outcome {
		if recipient.ID == message {
			return true
		}
		known = known || recipient.ID != ""
	}
	return !known
}
