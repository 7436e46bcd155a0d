package outbox

import (
	"context"
	"errors"
	"slices"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Heard ties an event to an entry.
type Heard struct {
	// Entry is the ID of an entry, or empty: then the entry is found by the message's id. A message's id that is none of
	// the entry's contradicts it.
	Entry string
	// Accepted says that the event shows that the account has accepted the message.
	Accepted bool
	MailEvent
}

// Noted is what became of a Heard.
type Noted struct {
	// Entry is the entry. Its ID is empty if there is none any more.
	Entry Entry
	// New says that the event was not known.
	New bool
}

// maxEvents is how many events are kept in an entry.
const maxEvents = 50

// Note keeps events with their entries. An event that cannot be kept, whatever it has in it, is returned as new and
// without an entry. The error is ErrUnavailable; then the same events may be noted again: none is kept twice.
func (o *Outbox) Note(ctx context.Context, heard []Heard) ([]Noted, error) {
	s, err := o.opened()
	if err != nil {
		return nil, err
	}
	noted := make([]Noted, len(heard))
	for i, h := range heard {
		if noted[i], err = s.note(ctx, h); errors.Is(err, ErrUnavailable) {
			return nil, err
		} else if err != nil {
			noted[i] = Noted{New: true}
		}
		if err := o.settleByEvent(ctx, s, h, &noted[i].Entry); err != nil {
			return nil, err
		}
	}
	return noted, nil
}

// settleByEvent ends an entry as sent of which it was not known whether it was accepted, if an event shows it.
func (o *Outbox) settleByEvent(ctx context.Context, s *store, h Heard, of *Entry) error {
	unsettled := []State{Uncertain, Pending, Retrying, Dead}
	if !h.Accepted || of.ID == "" || !slices.Contains(unsettled, of.State) {
		return nil
	}
	rows, err := s.listed(ctx, "entry WHERE id = $1 AND state = $2 AND unknowns > 0", of.ID, string(of.State))
	if err != nil {
		return unavailable(err)
	}
	if len(rows) == 0 {
		return nil
	}
	r, before := rows[0], rows[0].State
	r.note(o.now(), "it was accepted: the event "+h.Event+" was reported")
	if len(r.Outcome) == 0 && h.Message != "" {
		r.Outcome = []Recipient{{Status: "sent", ID: h.Message}}
	}
	c := o.ending(r, Sent, false)
	changed, err := s.change(ctx, r, before, c)
	if err != nil {
		return unavailable(err)
	}
	if changed { // else it was sent again meanwhile
		o.ended(r, before, c)
		*of = r.Entry
	}
	return nil
}

// noteTries is how often an event is noted that meets another one of its entry.
const noteTries = 5

func (s *store) note(ctx context.Context, h Heard) (Noted, error) {
	for range noteTries {
		r, err := s.ofEvent(ctx, h)
		switch {
		case errors.Is(err, database.ErrRow):
			return Noted{}, err
		case err != nil:
			return Noted{}, unavailable(err)
		case r == nil:
			return Noted{New: true}, nil
		}
		before := encode(r.Events)
		if !addEvent(r, h.MailEvent) {
			return Noted{Entry: r.Entry}, nil
		}
		statement := &database.Statement{
			SQL:  "UPDATE entry SET events = $2, last_event = $4 WHERE id = $1 AND events = $3",
			Args: []any{r.ID, encode(r.Events), before, r.Events[len(r.Events)-1].Event},
		}
		if err := s.Write(ctx, &database.Write{Statements: []*database.Statement{statement}, Order: r.ID}); err != nil {
			return Noted{}, err
		}
		if statement.Changed > 0 {
			return Noted{Entry: r.Entry, New: true}, nil
		}
	}
	return Noted{}, ErrUnavailable
}

// addEvent adds an event to an entry, unless it is known.
func addEvent(r *row, e MailEvent) bool {
	known := func(k MailEvent) bool {
		return k.Event == e.Event && k.Message == e.Message && k.Time.Equal(e.Time)
	}
	if slices.ContainsFunc(r.Events, known) {
		return false
	}
	r.Events = append(r.Events, e)
	slices.SortStableFunc(r.Events, func(a, b MailEvent) int { return a.Time.Compare(b.Time) })
	if len(r.Events) > maxEvents {
		// What is reported again and again goes first.
		repeated := slices.IndexFunc(r.Events, func(k MailEvent) bool { return k.Event == e.Event })
		r.Events = slices.Delete(r.Events, repeated, repeated+1)
	}
	return true
}

// ofEvent finds the entry of an event, or nil.
func (s *store) ofEvent(ctx context.Context, h Heard) (*row, error) {
	if h.Entry != "" {
		rows, err := s.listed(ctx, "entry WHERE id = $1", h.Entry)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && mayBe(rows[0], h.Message) {
			return rows[0], nil
		}
	}
	if h.Message == "" {
		return nil, nil
	}
	rows, err := s.listed(ctx, "entry WHERE id = (SELECT entry FROM message WHERE id = $1 LIMIT 1)", h.Message)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// mayBe reports whether a message's id does not contradict what was said when the entry was delivered.
func mayBe(r *row, message string) bool {
	named := func(recipient Recipient) bool { return recipient.ID != "" }
	same := func(recipient Recipient) bool { return recipient.ID == message }
	return message == "" || !slices.ContainsFunc(r.Outcome, named) || slices.ContainsFunc(r.Outcome, same)
}
