package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// sendTest sends a mail past the outbox, with the account that hooks use.
func sendTest(w http.ResponseWriter, r *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	var mail TestMail
	if err := readJSON(r, &mail); err != nil {
		return err
	}
	if mail.To == "" {
		return problem(http.StatusBadRequest, `the body must be {"to": "<address>"}`)
	}
	senders := app.Domains()
	if len(senders) == 0 {
		return problem(http.StatusConflict, "no api_key and sender_domain are configured: "+
			"caddy mailchimp check-audience checks the key of an audience")
	}
	policy, err := mandrill.NewPolicy(senders, "", "")
	if err != nil {
		return err
	}
	if mail.From == "" {
		mail.From = app.DefaultFrom()
	}
	domain := mail.From[strings.LastIndexByte(mail.From, '@')+1:]
	request, err := mandrill.NewRequest(map[string]any{"message": map[string]any{
		"from_email": mail.From, "to": []any{map[string]any{"email": mail.To}}, "subject": "Test of mailchimp_hook",
		"text": "This mail was sent by caddy mailchimp send-test: the account takes mail from " + domain + ".\n",
	}}, policy)
	if err != nil {
		return problem(http.StatusBadRequest, "%w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), caddymodule.DefaultTimeout)
	defer cancel()
	key := app.KeyEndings()[request.SenderDomain()]
	recipients, err := app.ClientFor(request.SenderDomain()).Send(ctx, request)
	if err != nil {
		result := TestResult{From: mail.From, Key: key, Status: "error", Reason: caddymodule.Explain(err, app.LogRecipients)}
		var failure *mandrill.Error
		if errors.As(err, &failure) {
			result.Reason, result.Remedy = failure.Error(), failure.Remedy()
		}
		return writeJSON(w, result)
	}
	first := recipients[0]
	return writeJSON(w, TestResult{
		Sent: first.Taken() && !first.Held(), From: mail.From, Key: key, Status: first.Status, ID: first.ID,
		Reason: first.RejectReason + first.QueuedReason, Remedy: first.Remedy(),
	})
}
