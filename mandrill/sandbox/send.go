package sandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/merge"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

const (
	// maxAtOnce is for how many recipients a message is sent at once, and not queued.
	maxAtOnce      = 10
	manyRecipients = "multiple-recipients"
)

type sendArguments struct {
	TemplateName    string                     `json:"template_name"`
	MCTemplateID    int64                      `json:"mc_template_id"`
	TemplateContent []mandrill.TemplateContent `json:"template_content"`
	Message         *mandrill.Message          `json:"message"`
	Async           bool                       `json:"async"`
	SendAt          string                     `json:"send_at"`
}

func (s *Sandbox) send(c call) (any, error) {
	var request sendArguments
	err := decode(c.body, &request)
	if err != nil {
		// PHP makes an empty array of an empty object, which Mandrill knows.
		c.body, request = phpObjects(c.body), sendArguments{}
		err = decode(c.body, &request)
	}
	if err != nil {
		return nil, err
	}
	if err := s.check(c.endpoint, request); err != nil {
		return nil, err
	}
	message := request.Message
	received := &Mail{
		ID: newID(), Time: time.Now(), Endpoint: c.endpoint,
		Template: view.TemplateName(request.TemplateName, request.MCTemplateID),
		Request:  withoutKey(c.body), Message: *message, announced: make([]bool, len(message.To)),
	}
	received.sendAt, _ = time.Parse(time.DateTime, request.SendAt) // was checked
	received.subject = merge.Subject(message, message.To[0].Email)
	for _, to := range message.To {
		recipient := mandrill.Recipient{Email: to.Email, Status: "sent", ID: newID()}
		s.answerFor(&recipient, received, request.Async, c.failure)
		received.Recipients = append(received.Recipients, recipient)
	}
	s.rememberDomain(domainOf(message.FromEmail))
	s.add(received)
	s.announce(received)
	return answers(received.Recipients), nil
}

// check refuses a call as a whole, as Mandrill does.
func (s *Sandbox) check(endpoint string, request sendArguments) error {
	isTemplate, isMCTemplate := endpoint == "messages/send-template", endpoint == "messages/send-mc-template"
	switch message := request.Message; {
	case message == nil:
		return invalidField("message", "You must specify a message")
	case len(message.To) == 0:
		return invalidField("message.to", "Please enter an array")
	case isTemplate && request.TemplateName == "":
		return invalidField("template_name", "Please enter a value")
	case isTemplate && request.TemplateContent == nil:
		return invalidField("template_content", "Please enter an array")
	case isMCTemplate && request.MCTemplateID == 0:
		return invalidField("mc_template_id", "Please enter a value")
	case !isTemplate && !isMCTemplate && !strings.Contains(message.FromEmail, "@"):
		// A template may have a sender of its own.
		return invalidField("message.from_email", "An email address must contain a single @")
	case slices.ContainsFunc(message.Tags, func(tag string) bool { return strings.HasPrefix(tag, "_") }):
		return invalidField("message.tags", "Tags may not start with an underscore")
	case message.Subaccount != "":
		if _, known := s.subaccountOf(message.Subaccount); !known && s.knowsSubaccounts() {
			return noSubaccount(message.Subaccount)
		}
	}
	if request.SendAt == "" {
		return nil
	}
	if _, err := time.Parse(time.DateTime, request.SendAt); err != nil {
		return invalidField("send_at", "Please enter a valid date/time, YYYY-MM-DD HH:MM:SS")
	}
	return nil
}

// answerFor decides what is answered of one recipient.
func (s *Sandbox) answerFor(recipient *mandrill.Recipient, mail *Mail, async bool, failure Failure) {
	sub, _ := s.subaccountOf(mail.Message.Subaccount)
	switch reason := refusal(mail.Message.FromEmail, recipient.Email); {
	case failure.RejectReason == "invalid":
		recipient.Status = "invalid"
	case failure.RejectReason != "":
		recipient.Status, recipient.RejectReason = "rejected", failure.RejectReason
	case failure.QueuedReason != "":
		recipient.Status, recipient.QueuedReason = "queued", failure.QueuedReason
	case sub.paused:
		recipient.Status, recipient.QueuedReason = "queued", "sending-paused"
	case mail.sendAt.After(mail.Time):
		recipient.Status = "scheduled"
	case len(mail.Message.To) > maxAtOnce:
		recipient.Status, recipient.QueuedReason = "queued", manyRecipients
	case async:
		recipient.Status = "queued"
	case reason == "invalid":
		recipient.Status = "invalid"
	case reason != "":
		recipient.Status, recipient.RejectReason = "rejected", reason
	}
}

// answer is what Mandrill says of a recipient: reasons that there aren't are null.
type answer struct {
	Email        string  `json:"email"`
	Status       string  `json:"status"`
	ID           string  `json:"_id"`
	RejectReason *string `json:"reject_reason"`
	QueuedReason *string `json:"queued_reason"`
}

func answers(recipients []mandrill.Recipient) []answer {
	list := make([]answer, len(recipients))
	for i, r := range recipients {
		list[i] = answer{Email: r.Email, Status: r.Status, ID: r.ID}
		if r.RejectReason != "" {
			list[i].RejectReason = &r.RejectReason
		}
		if r.QueuedReason != "" {
			list[i].QueuedReason = &r.QueuedReason
		}
	}
	return list
}

// phpObjects makes objects of the empty arrays that stand for them.
func phpObjects(body []byte) []byte {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		return body
	}
	message, _ := fields["message"].(map[string]any)
	toObject := func(object map[string]any, field string) {
		if list, is := object[field].([]any); is && len(list) == 0 {
			object[field] = map[string]any{}
		}
	}
	toObject(message, "headers")
	toObject(message, "metadata")
	recipients, _ := message["recipient_metadata"].([]any)
	for _, recipient := range recipients {
		own, _ := recipient.(map[string]any)
		toObject(own, "values")
	}
	repaired, err := mailchimp.Encode(fields)
	if err != nil {
		return body
	}
	return repaired
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
