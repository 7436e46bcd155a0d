package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// testMail asks for a test mail.
type testMail struct {
	To string `json:"to"`
	// From is the sender. Default: that of a hook, else test@ the first sender domain.
	From string `json:"from,omitempty"`
}

// testSent is what Mandrill said of it.
type testSent struct {
	Sent   bool   `json:"sent"`
	From   string `json:"from"`
	Status string `json:"status"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Remedy says what to do.
	Remedy string `json:"remedy,omitempty"`
}

// sendTest sends a mail past the outbox, with the account that hooks use.
func sendTest(r *http.Request) (any, error) {
	app, err := mustLiveApp()
	if err != nil {
		return nil, err
	}
	var mail testMail
	if err := readJSON(r, &mail); err != nil {
		return nil, err
	}
	if mail.To == "" {
		return nil, problem(http.StatusBadRequest, `the body must be {"to": "<address>"}`)
	}
	senders := app.Domains()
	if len(senders) == 0 {
		return nil, problem(http.StatusConflict, "no api_key and sender_domain are configured: caddy mailchimp check-audience checks the key of an audience")
	}
	policy, err := mandrill.NewPolicy(senders, "", "")
	if err != nil {
		return nil, err
	}
	if mail.From == "" {
		mail.From = app.DefaultFrom()
	}
	request, err := mandrill.NewRequest(map[string]any{"message": map[string]any{
		"from_email": mail.From, "to": []any{map[string]any{"email": mail.To}}, "subject": "Test of mailchimp_hook",
		"text": "This mail was sent by caddy mailchimp send-test: the account takes mail from " + mail.From[strings.LastIndexByte(mail.From, '@')+1:] + ".\n",
	}}, policy)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "%w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), DefaultTimeout)
	defer cancel()
	recipients, err := app.ClientFor(request.SenderDomain()).Send(ctx, request)
	if err != nil {
		result := testSent{From: mail.From, Status: "error", Reason: Explain(err, app.LogRecipients)}
		var failure *mandrill.Error
		if errors.As(err, &failure) {
			result.Reason, result.Remedy = failure.Error(), failure.Remedy()
		}
		return result, nil
	}
	first := recipients[0]
	return testSent{
		Sent: first.Taken() && !first.Held(), From: mail.From, Status: first.Status, ID: first.ID,
		Reason: first.RejectReason + first.QueuedReason, Remedy: first.Remedy(),
	}, nil
}
