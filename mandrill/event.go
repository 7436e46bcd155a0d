package mandrill

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"time"
)

// Event is what Mandrill tells of a message some time after it took it.
type Event struct {
	// Event is one of EventKinds; new ones may appear.
	Event string
	Time  time.Time
	// ID is Mandrill's id of the message to one recipient.
	ID    string
	Email string
	// Detail is why it bounced or was rejected, in a word of Mandrill's.
	Detail   string
	Metadata map[string]any
}

// MessageEvents are what Mandrill tells of a message.
var MessageEvents = []string{
	"send", "deferral", "hard_bounce", "soft_bounce", "delivered", "open", "click", "spam", "unsub", "reject",
}

// EventKinds are all that Mandrill tells of.
var EventKinds = append(slices.Clone(MessageEvents), "sync", "inbound")

// TestWebhookKey signs the call without events by which Mandrill tries a webhook that is being set up.
const TestWebhookKey = "test-webhook"

// Signature is what Mandrill sends in X-Mandrill-Signature with a form that it posts to a webhook.
func Signature(key, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			mac.Write([]byte(name))
			mac.Write([]byte(value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// SignedBy tells which of the keys made the signature, or returns -1.
func SignedBy(keys []string, signature, address string, form url.Values) int {
	found := -1
	for i, key := range keys {
		if hmac.Equal([]byte(signature), []byte(Signature(key, address, form))) {
			found = i
		}
	}
	return found
}

// ParseEvents reads the form's field mandrill_events: a list of objects. What it doesn't know in them, or what isn't
// as it should be, it leaves out.
func ParseEvents(data []byte) ([]Event, error) {
	var raw []struct {
		Event   json.RawMessage `json:"event"`
		Type    json.RawMessage `json:"type"`
		Time    json.RawMessage `json:"ts"`
		ID      json.RawMessage `json:"_id"`
		Message json.RawMessage `json:"msg"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("reading the events: %w", err)
	}
	if raw == nil {
		return nil, fmt.Errorf("reading the events: they are not a list")
	}
	events := make([]Event, len(raw))
	for i, r := range raw {
		e := &events[i]
		e.Event, e.ID, e.Time = word(r.Event), word(r.ID), moment(r.Time)
		if e.Event == "" && word(r.Type) != "" {
			e.Event = "sync"
		}
		e.readMessage(r.Message)
	}
	return events, nil
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
	_ = unmarshalObject(message.Metadata, &e.Metadata)
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

// maxWord is longer than any id, address or reason of Mandrill's.
const maxWord = 320

// word is a short string in JSON, or empty.
func word(data json.RawMessage) string {
	var text string
	if json.Unmarshal(data, &text) != nil || len(text) > maxWord {
		return ""
	}
	return text
}

// moment is a Unix time in JSON.
func moment(data json.RawMessage) time.Time {
	var seconds float64
	if json.Unmarshal(data, &seconds) != nil || seconds <= 0 || seconds > math.MaxUint32 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}
