package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// Metadata fields. Mandrill's search finds a message by the entry's id if the operator made that field searchable. The
// other field distinguishes the entries of several outboxes of one account.
const (
	entryField  = "outbox_entry"
	outboxField = "outbox"
)

// backlogged is how long Mandrill keeps the mail of an account that can't send.
const backlogged = 48 * time.Hour

// mail is a mail that Mandrill sends.
type mail struct {
	*mandrill.Request
	app    *App
	client *mandrill.Client
}

func (m mail) sender() string { return m.SenderDomain() }

func (m mail) accepted(recipient mandrill.Recipient) bool { return recipient.Taken() }

func (m mail) send(ctx context.Context) ([]mandrill.Recipient, error) {
	started := time.Now()
	recipients, err := m.client.Send(ctx, m.Request)
	m.app.metrics.sendSeconds.Observe(time.Since(started).Seconds())
	for _, recipient := range recipients {
		m.app.metrics.countRecipient(recipient)
	}
	return recipients, err
}

func (m mail) attempt(ctx context.Context, entry outbox.Delivery, timeout time.Duration) outbox.Result {
	return attempt{mail: m, entry: entry, timeout: timeout}.run(ctx)
}

func (m mail) outcome(recipients []mandrill.Recipient) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictRejected, Outcome: m.app.encodeOutcome(recipients)}
	for _, recipient := range recipients {
		switch {
		case recipient.Held():
			result.Verdict, result.Reason = outbox.VerdictHold, "Mandrill queued the mail: "+recipient.QueuedReason
			return result
		case !recipient.Taken():
			result.Reason = refusalOf(recipient)
		case m.IsPrimary(recipient.Email):
			result.Verdict = outbox.VerdictSent
		}
	}
	return result
}

// refusalOf returns why a recipient was refused, with the remedy.
func refusalOf(r mandrill.Recipient) string {
	reason := r.Status
	if r.RejectReason != "" {
		reason += ": " + r.RejectReason
	}
	if remedy := r.Remedy(); remedy != "" {
		reason += ": " + remedy
	}
	return reason
}

// attempt is one try to send a message.
type attempt struct {
	mail
	entry outbox.Delivery
	// timeout is that of one call.
	timeout time.Duration
}

func (a attempt) run(ctx context.Context) outbox.Result {
	if !a.entry.Taken.IsZero() {
		return a.lookUp(ctx)
	}
	uncertain := a.entry.Uncertain
	if uncertain {
		result, answered := a.search(ctx)
		if result != nil {
			return *result
		}
		uncertain = !answered
	}
	a.SetMetadata(entryField, a.entry.ID)
	a.SetMetadata(outboxField, a.app.outbox.ID())
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	recipients, err := a.send(ctx)
	if err != nil {
		result := failure(err)
		result.Uncertain = uncertain
		return result
	}
	return a.outcome(recipients)
}

// search looks for the mail of an attempt whose outcome is unknown. Its result is nil if the mail must be sent: it was
// not found, or the search was not answered because the key may not search.
func (a attempt) search(ctx context.Context) (result *outbox.Result, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	found, err := a.client.Search(ctx, "u_"+entryField+":"+a.entry.ID, 100)
	if err != nil {
		failed := failure(err)
		if failed.Verdict != outbox.VerdictRetry && failed.Verdict != outbox.VerdictUnknown {
			return nil, false
		}
		failed.Verdict, failed.Uncertain = outbox.VerdictRetry, true
		return &failed, false
	}
	ours := func(info mandrill.Info) bool {
		if info.Metadata[entryField] != a.entry.ID {
			return false
		}
		// A message whose metadata had no room does not say whose it is.
		if whose, says := info.Metadata[outboxField].(string); says {
			if whose == a.app.outbox.ID() {
				return true
			}
			if !a.app.outbox.Took(ctx, whose) {
				return false
			}
		}
		return slices.ContainsFunc(a.Recipients(), func(to string) bool { return strings.EqualFold(to, info.Email) })
	}
	found = slices.DeleteFunc(found, func(info mandrill.Info) bool { return !ours(info) })
	if len(found) == 0 {
		return nil, true
	}
	recipients := make([]mandrill.Recipient, len(found))
	for i, info := range found {
		recipients[i] = mandrill.Recipient{Email: info.Email, ID: info.ID, Status: "sent"}
		if info.State == "rejected" {
			recipients[i].Status, recipients[i].RejectReason = "rejected", info.RejectReason
		}
	}
	outcome := a.outcome(recipients)
	if outcome.Reason == "" {
		outcome.Reason = "found at Mandrill after an attempt whose end wasn't known"
	}
	return &outcome, true
}

// lookUp asks for the state of a mail that Mandrill queued for a reason that lies with the account.
func (a attempt) lookUp(ctx context.Context) outbox.Result {
	recipients, err := decodeOutcome(a.entry.Outcome)
	if err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "what Mandrill said of the entry can't be read"}
	}
	addressed(recipients, a.mail)
	waiting := false
	for i, recipient := range recipients {
		if !recipient.Held() || recipient.ID == "" {
			continue
		}
		state, err := a.state(ctx, recipient.ID)
		if err != nil {
			return failure(err)
		}
		switch state {
		case "queued", "scheduled":
			waiting = true
		case "rejected", "canceled":
			recipients[i].Status, recipients[i].QueuedReason = "rejected", ""
		default:
			recipients[i].Status, recipients[i].QueuedReason = "sent", ""
		}
	}
	switch {
	case waiting && time.Since(a.entry.Taken) > backlogged:
		return outbox.Result{
			Verdict: outbox.VerdictGivenUp, Outcome: a.app.encodeOutcome(recipients),
			Reason: fmt.Sprintf("Mandrill queued the mail and gave it up after %s", backlogged),
		}
	case waiting:
		return outbox.Result{
			Verdict: outbox.VerdictHold, Outcome: a.app.encodeOutcome(recipients),
			Reason: "Mandrill queued the mail for the account's sake",
		}
	}
	return a.outcome(recipients)
}

// state asks for the state of one message. Mandrill knows a message only some time after it has queued it.
func (a attempt) state(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	info, err := a.client.Info(ctx, id)
	var failed *mandrill.Error
	if errors.As(err, &failed) && failed.Name == "Unknown_Message" {
		return "queued", nil
	}
	return info.State, err
}
