package sandbox

import (
	"fmt"
	"net/http"
	"slices"
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

func (s *Sandbox) info(id string) (any, error) {
	mail, recipient, err := s.recipient(id)
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
		"metadata": map[string]any{}, "smtp_events": []any{}, "resends": []any{}, "diag": nil, "subaccount": nil,
		"reject": nil,
	}
	if mail.Message.Metadata != nil {
		info["metadata"] = mail.Message.Metadata
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
		return "scheduled", ""
	case "queued":
		if recipient.QueuedReason != "" && recipient.QueuedReason != manyRecipients && !s.recoveredSince(mail.Time) {
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

func (s *Sandbox) content(id string) (any, error) {
	mail, recipient, err := s.recipient(id)
	if err != nil {
		return nil, err
	}
	m := mail.Message
	headers := make(map[string]string)
	for name, value := range m.Headers {
		headers[name] = fmt.Sprint(value)
	}
	return map[string]any{
		"ts": mail.Time.Unix(), "_id": id, "from_email": m.FromEmail, "from_name": m.FromName, "subject": m.Subject,
		"to": map[string]string{"email": recipient.Email}, "tags": append([]string{}, m.Tags...), "headers": headers,
		"text": m.Text, "html": m.HTML, "attachments": append([]mandrill.Attachment{}, m.Attachments...),
	}, nil
}

// search finds mails by a metadata field (u_name:value), by a word of the subject or an address, or all (*).
func (s *Sandbox) search(query string, limit int) []map[string]any {
	if limit <= 0 || limit > 1000 {
		limit = 100
	}
	found := []map[string]any{}
	for _, mail := range s.Mails() {
		for _, recipient := range mail.Recipients {
			if len(found) < limit && matches(query, mail, recipient) {
				found = append(found, s.infoOf(mail, recipient))
			}
		}
	}
	return found
}

func matches(query string, mail *Mail, recipient mandrill.Recipient) bool {
	if one, rest, several := strings.Cut(query, " OR "); several {
		return matches(one, mail, recipient) || matches(rest, mail, recipient)
	}
	if field, value, isField := strings.Cut(query, ":"); isField && strings.HasPrefix(field, "u_") {
		metadata, given := mail.Message.Metadata[strings.TrimPrefix(field, "u_")]
		return given && fmt.Sprint(metadata) == strings.Trim(value, `"`)
	}
	query = strings.ToLower(query)
	return query == "" || query == "*" ||
		strings.Contains(strings.ToLower(mail.Message.Subject+" "+recipient.Email+" "+mail.Message.FromEmail), query)
}

// addDomain adds a domain to the account, as each check and each message does.
func (s *Sandbox) addDomain(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	domain = strings.ToLower(domain)
	if domain != "" && len(s.domains) < maxMails && !slices.Contains(s.domains, domain) {
		s.domains = append(s.domains, domain)
	}
}

func (s *Sandbox) domainStates() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := []map[string]any{}
	for _, domain := range s.domains {
		states = append(states, domainState(domain))
	}
	return states
}

func domainState(domain string) map[string]any {
	const since = "2026-01-01 00:00:00"
	state := map[string]any{
		"domain": domain, "created_at": since, "last_tested_at": since, "verify_txt_key": "sandbox-verification",
	}
	if strings.HasSuffix(domain, ".invalid") {
		state["spf"] = map[string]any{"valid": false, "error": "The SPF record is missing."}
		state["dkim"] = map[string]any{"valid": false, "error": "The DKIM records are missing."}
		state["valid_signing"] = false
		return state
	}
	state["spf"] = map[string]any{"valid": true, "valid_after": since}
	state["dkim"] = map[string]any{"valid": true, "valid_after": since}
	state["verified_at"], state["valid_signing"] = since, true
	return state
}
