package sandbox

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// recipient finds the mail and the recipient that an id was given to.
func (s *Sandbox) recipient(id string) (*Mail, mandrill.Recipient, error) {
	for _, mail := range s.Mails() {
		for _, recipient := range mail.Recipients {
			if recipient.ID == id {
				return mail, recipient, nil
			}
		}
	}
	return nil, mandrill.Recipient{}, &apiError{
		http.StatusNotFound, "Unknown_Message", "No message exists with the id " + id,
	}
}

// messageArguments are those of calls about one message.
type messageArguments struct {
	ID string `json:"id"`
}

func (s *Sandbox) info(a messageArguments) (any, error) {
	mail, recipient, err := s.recipient(a.ID)
	if err != nil {
		return nil, err
	}
	return s.infoOf(mail, recipient), nil
}

func (s *Sandbox) infoOf(mail *Mail, recipient mandrill.Recipient) map[string]any {
	state, reason := s.ending(mail, recipient)
	info := map[string]any{
		"ts": mail.Time.Unix(), "_id": recipient.ID, "sender": mail.Message.FromEmail, "template": nil,
		"subject": mail.Message.Subject, "email": recipient.Email, "tags": append([]string{}, mail.Message.Tags...),
		"opens": 0, "opens_detail": []any{}, "clicks": 0, "clicks_detail": []any{}, "state": state,
		"metadata": metadataOf(mail, recipient), "smtp_events": []any{}, "resends": []any{}, "diag": nil, "subaccount": nil,
		"reject": nil,
	}
	if mail.Message.Subaccount != "" {
		info["subaccount"] = mail.Message.Subaccount
	}
	if state == "rejected" {
		info["reject"] = map[string]string{"reason": reason, "last_event_at": mail.Time.UTC().Format(time.DateTime)}
	}
	return info
}

// ending is what became of a mail a moment after it was taken, and the reason where it was rejected.
func (s *Sandbox) ending(mail *Mail, recipient mandrill.Recipient) (state, reason string) {
	switch recipient.Status {
	case "rejected":
		return "rejected", recipient.RejectReason
	case "invalid":
		return "rejected", "invalid"
	case "scheduled":
		if time.Now().Before(mail.sendAt) {
			return "scheduled", ""
		}
	case "queued":
		if s.keptBack(mail, recipient) {
			return "queued", ""
		}
	}
	if reason := refusal(mail.Message.FromEmail, recipient.Email); reason != "" {
		return "rejected", reason
	}
	switch strings.ToLower(recipient.Email) {
	case "hard_bounce@test.mandrillapp.com", "soft_bounce@test.mandrillapp.com":
		return "bounced", ""
	}
	return "sent", ""
}

// keptBack reports whether a mail is still queued for a reason that lies with the account, or with a sub-account.
func (s *Sandbox) keptBack(mail *Mail, recipient mandrill.Recipient) bool {
	if recipient.QueuedReason == "" || recipient.QueuedReason == manyRecipients {
		return false
	}
	sub, known := s.subaccountOf(mail.Message.Subaccount)
	if known && (sub.paused || !sub.resumed.Before(mail.Time)) {
		return sub.paused
	}
	return !s.recoveredSince(mail.Time)
}

func (s *Sandbox) content(a messageArguments) (any, error) {
	mail, recipient, err := s.recipient(a.ID)
	if err != nil {
		return nil, err
	}
	m := mail.Message
	headers := make(map[string]string)
	for name, value := range m.Headers {
		headers[name] = fmt.Sprint(value)
	}
	return map[string]any{
		"ts": mail.Time.Unix(), "_id": a.ID, "from_email": m.FromEmail, "from_name": m.FromName, "subject": m.Subject,
		"to": map[string]string{"email": recipient.Email}, "tags": append([]string{}, m.Tags...), "headers": headers,
		"text": m.Text, "html": m.HTML, "attachments": append([]mandrill.Attachment{}, m.Attachments...),
	}, nil
}
