package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// codes are Mandrill's numbers for its errors.
var codes = map[string]int{
	"Invalid_Key": 401, "ValidationError": -2, "PaymentRequired": 402, "Unknown_Message": 11, "GeneralError": -100, "ServiceUnavailable": -2,
}

func respondError(w http.ResponseWriter, status int, name, message string) {
	if name == "" {
		name = "GeneralError"
	}
	respond(w, status, map[string]any{"status": "error", "code": codes[name], "name": name, "message": message})
}

// apiError is an answer other than success.
type apiError struct {
	status        int
	name, message string
}

func (e *apiError) Error() string { return e.message }

func validation(format string, args ...any) error {
	return &apiError{http.StatusUnprocessableEntity, "ValidationError", fmt.Sprintf(format, args...)}
}

func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, endpoint string) {
	failure := s.nextFailure()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		respondError(w, http.StatusUnprocessableEntity, "ValidationError", "The request could not be read.")
		return
	}
	select {
	case <-time.After(failure.delay):
	case <-r.Context().Done():
		reset()
	}
	if failure.Reset == "before" {
		reset()
	}
	recordsFirst := failure.Reset == "after"
	if !recordsFirst && failure.answer(w) {
		return
	}
	answer, err := s.call(endpoint, body, failure)
	if recordsFirst {
		reset()
	}
	var refusal *apiError
	if errors.As(err, &refusal) {
		respondError(w, refusal.status, refusal.name, refusal.message)
		return
	}
	respond(w, http.StatusOK, answer)
}

func (s *Sandbox) call(endpoint string, body []byte, failure Failure) (any, error) {
	var arguments struct {
		Key    string `json:"key"`
		ID     string `json:"id"`
		Domain string `json:"domain"`
		Query  string `json:"query"`
		Limit  int    `json:"limit"`
	}
	if err := json.Unmarshal(body, &arguments); err != nil {
		return nil, validation("The request's body is not valid: %v", err)
	}
	switch {
	case arguments.Key == "":
		return nil, validation("You must specify a key value")
	case strings.HasPrefix(arguments.Key, "invalid"):
		return nil, &apiError{http.StatusUnauthorized, "Invalid_Key", "Invalid API key"}
	}
	switch endpoint {
	case "messages/send", "messages/send-template":
		return s.send(endpoint, body, failure)
	case "messages/info":
		return s.info(arguments.ID)
	case "messages/content":
		return s.content(arguments.ID)
	case "messages/search":
		return s.search(arguments.Query, arguments.Limit), nil
	case "users/ping2":
		return map[string]string{"PING": "PONG!"}, nil
	case "senders/check-domain":
		if arguments.Domain == "" {
			return nil, validation("Validation error: {\"domain\":\"You must specify a domain\"}")
		}
		return domainState(arguments.Domain), nil
	case "senders/domains":
		return s.domains(), nil
	}
	return nil, &apiError{http.StatusNotFound, "Unknown_Method", "The sandbox has no " + endpoint}
}

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
	received := &Mail{ID: newID(), Time: time.Now(), Endpoint: endpoint, Request: withoutKey(body), Message: *request.Message}
	status := "sent"
	switch {
	case request.SendAt != "":
		status = "scheduled"
	case request.Async || len(request.Message.To) > 10:
		status = "queued"
	}
	for _, to := range request.Message.To {
		recipient := mandrill.Recipient{Email: to.Email, Status: status, ID: newID()}
		switch reason := refusal(request.Message.FromEmail, to.Email, failure); {
		case reason == "invalid":
			recipient.Status = "invalid"
		case reason != "":
			recipient.Status, recipient.RejectReason = "rejected", reason
		case failure.QueuedReason != "":
			recipient.Status, recipient.QueuedReason = "queued", failure.QueuedReason
		}
		received.Recipients = append(received.Recipients, recipient)
	}
	s.add(received)
	return received.Recipients, nil
}

// refusal returns why a recipient is refused, or nothing.
func refusal(from, to string, failure Failure) string {
	_, domain, _ := strings.Cut(from, "@")
	switch _, err := mail.ParseAddress(to); {
	case failure.RejectReason != "":
		return failure.RejectReason
	case err != nil:
		return "invalid"
	case strings.HasSuffix(strings.ToLower(domain), ".invalid"):
		return "unsigned"
	case strings.EqualFold(to, "reject@test.mandrillapp.com"):
		return "custom"
	}
	return ""
}

// withoutKey returns a body as it may be shown.
func withoutKey(body []byte) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil
	}
	delete(fields, "key")
	kept, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return kept
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// recipient finds the mail and the recipient that an id was given to.
func (s *Sandbox) recipient(id string) (*Mail, mandrill.Recipient, error) {
	for _, mail := range s.Mails() {
		for _, recipient := range mail.Recipients {
			if recipient.ID == id {
				return mail, recipient, nil
			}
		}
	}
	return nil, mandrill.Recipient{}, &apiError{http.StatusNotFound, "Unknown_Message", "No message exists with the id " + id}
}

func (s *Sandbox) info(id string) (any, error) {
	mail, recipient, err := s.recipient(id)
	if err != nil {
		return nil, err
	}
	return infoOf(mail, recipient), nil
}

func infoOf(mail *Mail, recipient mandrill.Recipient) map[string]any {
	info := map[string]any{
		"ts": mail.Time.Unix(), "_id": recipient.ID, "sender": mail.Message.FromEmail, "template": nil,
		"subject": mail.Message.Subject, "email": recipient.Email, "tags": append([]string{}, mail.Message.Tags...),
		"opens": 0, "opens_detail": []any{}, "clicks": 0, "clicks_detail": []any{}, "state": state(recipient),
		"metadata": map[string]any{}, "smtp_events": []any{}, "resends": []any{}, "diag": nil, "subaccount": nil, "reject": nil,
	}
	if mail.Message.Metadata != nil {
		info["metadata"] = mail.Message.Metadata
	}
	if mail.Message.Subaccount != "" {
		info["subaccount"] = mail.Message.Subaccount
	}
	if recipient.RejectReason != "" {
		info["reject"] = map[string]string{"reason": recipient.RejectReason, "last_event_at": mail.Time.UTC().Format(time.DateTime)}
	}
	return info
}

// state is what became of a mail a moment after it was taken.
func state(recipient mandrill.Recipient) string {
	switch local, domain, _ := strings.Cut(strings.ToLower(recipient.Email), "@"); {
	case recipient.Status == "invalid":
		return "rejected"
	case recipient.Status != "sent" && recipient.QueuedReason != "" || recipient.Status == "rejected" || recipient.Status == "scheduled":
		return recipient.Status
	case domain == "test.mandrillapp.com" && (local == "hard_bounce" || local == "soft_bounce"):
		return "bounced"
	default:
		return "sent"
	}
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
				found = append(found, infoOf(mail, recipient))
			}
		}
	}
	return found
}

func matches(query string, mail *Mail, recipient mandrill.Recipient) bool {
	if field, value, isField := strings.Cut(query, ":"); isField && strings.HasPrefix(field, "u_") {
		metadata, given := mail.Message.Metadata[strings.TrimPrefix(field, "u_")]
		return given && fmt.Sprint(metadata) == strings.Trim(value, `"`)
	}
	query = strings.ToLower(query)
	return query == "" || query == "*" || strings.Contains(strings.ToLower(mail.Message.Subject+" "+recipient.Email+" "+mail.Message.FromEmail), query)
}

// domains are those that mail came from.
func (s *Sandbox) domains() []map[string]any {
	domains := []map[string]any{}
	var seen []string
	for _, mail := range s.Mails() {
		_, domain, _ := strings.Cut(strings.ToLower(mail.Message.FromEmail), "@")
		if domain != "" && !slices.Contains(seen, domain) {
			seen = append(seen, domain)
			domains = append(domains, domainState(domain))
		}
	}
	return domains
}

func domainState(domain string) map[string]any {
	const since = "2026-01-01 00:00:00"
	state := map[string]any{"domain": domain, "created_at": since, "last_tested_at": since, "verify_txt_key": "sandbox-verification"}
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
