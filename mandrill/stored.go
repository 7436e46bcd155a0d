package mandrill

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Stored is a message as Request.MarshalJSON encoded it, ready to be sent as it is. It is made by ParseStored.
type Stored struct {
	body         []byte
	endpoint     string
	senderDomain string
	to           []addressee
	scheduled    bool
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
		SendAt   string  `json:"send_at"`
		Message  *struct {
			From string      `json:"from_email"`
			To   []addressee `json:"to"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, fmt.Errorf("reading a stored message: %w", err)
	}
	if parsed.Message == nil {
		return nil, fmt.Errorf("reading a stored message: it has no message")
	}
	s := &Stored{body: body, endpoint: sendEndpoint, to: parsed.Message.To, scheduled: parsed.SendAt != ""}
	if parsed.Template != nil {
		s.endpoint = sendTemplateEndpoint
	}
	s.senderDomain, _ = domainOf(parsed.Message.From)
	return s, nil
}

// SenderDomain is the domain of from_email, normalized.
func (s *Stored) SenderDomain() string { return s.senderDomain }

// Recipients returns the addresses of all recipients, as they were written.
func (s *Stored) Recipients() []string { return addresses(s.to) }

// IsPrimary is that of Request.
func (s *Stored) IsPrimary(address string) bool { return isPrimary(s.to, address) }

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
