package mandrill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// Event is what Mandrill reports about a message some time after it has accepted it.
type Event struct {
	// Event is one of EventKinds; new ones may appear.
	Event string
	Time  time.Time
	// ID is Mandrill's id of the message to one recipient.
	ID    string
	Email string
	// Detail is why it bounced or was rejected, in a word of Mandrill's.
	Detail string
	// Metadata has the fields that are short texts.
	Metadata map[string]string
}

// MessageEvents are the events of messages.
var MessageEvents = []string{
	"send", "deferral", "hard_bounce", "soft_bounce", "delivered", "open", "click", "spam", "unsub", "reject",
}

// EventKinds are all events, those of the denylist and of inbound mail too.
var EventKinds = append(slices.Clone(MessageEvents), "sync", "inbound")

// maxEvents is twice what Mandrill posts at once.
const maxEvents = 2000

// ErrManyEvents means that there are more events than Mandrill posts at once.
var ErrManyEvents = fmt.Errorf("there are more than %d events", maxEvents)

// ParseEvents reads the form's field mandrill_events: a list of objects. It leaves out what it does not know in them,
// and what is not as it should be. The list is read one object at a time, because each takes many times its length.
func ParseEvents(data []byte) ([]Event, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return nil, errors.New("reading the events: they are not a list")
	}
	events := []Event{}
	for d.More() {
		if len(events) == maxEvents {
			return nil, fmt.Errorf("reading the events: %w", ErrManyEvents)
		}
		e, err := readEvent(d)
		if err != nil {
			return nil, fmt.Errorf("reading the events: %w", err)
		}
		events = append(events, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("reading the events: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the events: something follows the list")
	}
	return events, nil
}

func readEvent(d *json.Decoder) (Event, error) {
	var raw struct {
		Event   json.RawMessage `json:"event"`
		Type    json.RawMessage `json:"type"`
		Time    json.RawMessage `json:"ts"`
		ID      json.RawMessage `json:"_id"`
		Message json.RawMessage `json:"msg"`
	}
	if err := d.Decode(&raw); err != nil {
		return Event{}, err
	}
	e := Event{Event: word(raw.Event), ID: word(raw.ID), Time: moment(raw.Time)}
	if e.Event == "" && word(raw.Type) != "" {
		e.Event = "sync"
	}
	e.readMessage(raw.Message)
	return e, nil
}

func (e *Event) readMessage(data json.RawMessage) {
	var message struct {
		ID          json.RawMessage `json:"_id"`
		Email       json.RawMessage `json:"email"`
		Metadata    json.RawMessage `json:"metadata"`
		Description json.RawMessage `json:"bounce_description"`
		Reject      json.RawMessage `json:"reject"`
	}
	if unmarshalObject(data, &message) != nil {
		return
	}
	if e.ID == "" {
		e.ID = word(message.ID)
	}
	e.Email = word(message.Email)
	e.Metadata = metadata(message.Metadata)
	var reject struct {
		Reason json.RawMessage `json:"reason"`
	}
	if unmarshalObject(message.Reject, &reject) == nil {
		e.Detail = word(reject.Reason)
	}
	if description := word(message.Description); description != "" {
		e.Detail = description
	}
}

// maxEventMetadata is several times what Mandrill accepts as metadata, in bytes.
const maxEventMetadata = 2000

// metadata reads the metadata of a message.
func metadata(data json.RawMessage) map[string]string {
	var raw map[string]json.RawMessage
	if len(data) > maxEventMetadata || unmarshalObject(data, &raw) != nil {
		return nil
	}
	texts := make(map[string]string)
	for name, value := range raw {
		if text := word(value); text != "" {
			texts[name] = text
		}
	}
	return texts
}

// maxWord is longer than any ID, address or reason of Mandrill's.
const maxWord = 320

// word reads a short text in JSON. What is none is empty.
func word(data json.RawMessage) string {
	const longestEscape = len(`\u0041`)
	var text string
	if len(data) > longestEscape*maxWord+2 || json.Unmarshal(data, &text) != nil || len(text) > maxWord {
		return ""
	}
	return text
}

// moment reads a Unix time in JSON.
func moment(data json.RawMessage) time.Time {
	var seconds float64
	if json.Unmarshal(data, &seconds) != nil || seconds <= 0 || seconds > math.MaxUint32 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}
