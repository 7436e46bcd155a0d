package mandrill

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Stored is a message as Request.MarshalJSON encoded it, ready to be sent as it is. It is made by ParseStored.
type Stored struct {
	body         []byte
	endpoint     string
	senderDomain string
	to           []addressee
	scheduled    bool
	metadata     map[string]json.RawMessage
}

// addressee is a recipient of a message: type is to, cc or bcc, or empty for to.
type addressee struct {
	Email string `json:"email"`
	Type  string `json:"type"`
}

// ParseStored reads what is needed to send a stored message and to sort what Mandrill answers.
func ParseStored(body []byte) (*Stored, error) {
	var parsed struct {
		Template *string `json:"template_name"`
		Number   *int64  `json:"mc_template_id"`
		SendAt   string  `json:"send_at"`
		Message  *struct {
			From     string          `json:"from_email"`
			To       []addressee     `json:"to"`
			Metadata json.RawMessage `json:"metadata"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, fmt.Errorf("reading a stored message: %w", err)
	}
	if parsed.Message == nil {
		return nil, fmt.Errorf("reading a stored message: it has no message")
	}
	s := &Stored{
		body: body, endpoint: endpointOf(parsed.Template != nil, parsed.Number != nil),
		to: parsed.Message.To, scheduled: parsed.SendAt != "",
	}
	_, s.senderDomain, _ = senderOf(parsed.Message.From)
	if json.Unmarshal(parsed.Message.Metadata, &s.metadata) != nil {
		s.metadata = nil // a list has no names
	}
	return s, nil
}

// Metadata returns a field of the message's metadata, or nothing if there is none or it is not text.
func (s *Stored) Metadata(name string) (value string) {
	if json.Unmarshal(s.metadata[name], &value) != nil {
		return ""
	}
	return value
}

// SenderDomain is the domain of from_email, normalized.
func (s *Stored) SenderDomain() string { return s.senderDomain }

// Recipients returns the addresses of all recipients, as they were written.
func (s *Stored) Recipients() []string { return addresses(s.to) }

// IsPrimary is that of Request.
func (s *Stored) IsPrimary(address string) bool { return isPrimary(s.to, address) }

// Without returns the message for those recipients alone that are not among the addresses, which is an error if none is
// left. All else stays as it was stored.
func (s *Stored) Without(accepted []string) (*Stored, error) {
	var body, message map[string]json.RawMessage
	var to, left []json.RawMessage
	if err := json.Unmarshal(s.body, &body); err != nil {
		return nil, fmt.Errorf("reading a stored message: %w", err)
	}
	err := json.Unmarshal(body["message"], &message)
	if err == nil {
		err = json.Unmarshal(message["to"], &to)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a stored message: %w", err)
	}
	reduced := *s
	reduced.to = nil
	for i, recipient := range s.to {
		same := func(address string) bool { return strings.EqualFold(address, recipient.Email) }
		if !slices.ContainsFunc(accepted, same) {
			left, reduced.to = append(left, to[i]), append(reduced.to, recipient)
		}
	}
	if len(left) == 0 {
		return nil, errors.New("the message has no other recipients")
	}
	if message["to"], err = json.Marshal(left); err != nil {
		return nil, err
	}
	if body["message"], err = json.Marshal(message); err != nil {
		return nil, err
	}
	reduced.body, err = json.Marshal(body)
	return &reduced, err
}

func addresses(to []addressee) []string {
	var list []string
	for _, a := range to {
		list = append(list, a.Email)
	}
	return list
}

func isPrimary(to []addressee, address string) bool {
	isCopy, named := false, false
	for _, a := range to {
		same := strings.EqualFold(a.Email, address)
		switch {
		case a.Type != "" && a.Type != "to":
			isCopy = isCopy || same
		case same:
			return true
		default:
			named = true
		}
	}
	return !isCopy || !named
}
