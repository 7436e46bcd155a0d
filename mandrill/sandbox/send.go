package sandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/mail"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/merge"
)

const (
	// maxAtOnce is for how many recipients a message is sent at once, and not queued.
	maxAtOnce      = 10
	manyRecipients = "multiple-recipients"
)

func (s *Sandbox) send(endpoint string, body []byte, failure Failure) (any, error) {
	var request struct {
		TemplateName    string                     `json:"template_name"`
		TemplateContent []mandrill.TemplateContent `json:"template_content"`
		Message         *mandrill.Message          `json:"message"`
		Async           bool                       `json:"async"`
		SendAt          string                     `json:"send_at"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, validation("Validation error: %v", err)
	}
	switch {
	case request.Message == nil:
		return nil, validation("Validation error: {\"message\":\"You must specify a message\"}")
	case len(request.Message.To) == 0:
		return nil, validation("Validation error: {\"message\":{\"to\":\"Please enter an array\"}}")
	case endpoint == "messages/send-template" && request.TemplateName == "":
		return nil, validation("Validation error: {\"template_name\":\"Please enter a value\"}")
	case endpoint == "messages/send-template" && request.TemplateContent == nil:
		return nil, validation("Validation error: {\"template_content\":\"Please enter an array\"}")
	}
	message := request.Message
	received := &Mail{
		ID: newID(), Time: time.Now(), Endpoint: endpoint, Template: request.TemplateName, Request: withoutKey(body),
		Message: *message,
	}
	received.subject = merge.Subject(message, message.To[0].Email)
	for _, to := range message.To {
		recipient := mandrill.Recipient{Email: to.Email, Status: "sent", ID: newID()}
		switch reason := refusal(message.FromEmail, to.Email); {
		case failure.RejectReason == "invalid":
			recipient.Status = "invalid"
		case failure.RejectReason != "":
			recipient.Status, recipient.RejectReason = "rejected", failure.RejectReason
		case failure.QueuedReason != "":
			recipient.Status, recipient.QueuedReason = "queued", failure.QueuedReason
		case request.SendAt != "":
			recipient.Status = "scheduled"
		case len(message.To) > maxAtOnce:
			recipient.Status, recipient.QueuedReason = "queued", manyRecipients
		case request.Async:
			recipient.Status = "queued"
		case reason == "invalid":
			recipient.Status = "invalid"
		case reason != "":
			recipient.Status, recipient.RejectReason = "rejected", reason
		}
		received.Recipients = append(received.Recipients, recipient)
	}
	s.addDomain(domainOf(message.FromEmail))
	s.add(received)
	return received.Recipients, nil
}

// refusal returns why a recipient is refused, or nothing. Where mail is queued or scheduled, it shows
// only later.
func refusal(from, to string) string {
	switch _, err := mail.ParseAddress(to); {
	case err != nil:
		return "invalid"
	case strings.HasSuffix(domainOf(from), ".invalid"):
		return "unsigned"
	case strings.EqualFold(to, "reject@test.mandrillapp.com"):
		return "custom"
	}
	return ""
}

func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// withoutKey returns a body as it may be shown.
func withoutKey(body []byte) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil
	}
	// As the decoder that read it, which takes Key for key.
	maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return strings.EqualFold(name, "key") })
	var kept bytes.Buffer
	encoder := json.NewEncoder(&kept)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		return nil
	}
	return bytes.TrimSpace(kept.Bytes())
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}
