package caddymodule

import (
	"context"
	"errors"
	"slices"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// infosAllowed is how many messages an account may be asked for in 12 s, one by one: one a second.
const infosAllowed = 12

var errManyInfos = errors.New("one message a second was asked for already")

// lookUp asks for the state of a mail that Mandrill queued for a reason that lies with the account. A look-up that
// fails is made again.
func (m storedMail) lookUp(ctx context.Context, entry outbox.Delivery) outbox.Result {
	recipients := recipientsFrom(entry.Outcome)
	addressed(recipients, m)
	var known []mandrill.Info
	if !m.app.lacksIndex(ctx, m.client) {
		known = m.app.searcherFor(entry.Sender, m.client).search(ctx, entry.ID).messages
	}
	waiting := false
	for i, recipient := range recipients {
		if recipient.Status != "queued" || recipient.ID == "" {
			continue
		}
		info, err := m.info(ctx, entry, recipient.ID, known)
		if err != nil {
			return outbox.Result{
				Verdict: outbox.VerdictRetry, Outcome: m.app.storedOutcome(recipients),
				Reason: entry.Reason, After: m.app.failure(err, nil).After,
			}
		}
		if info.State == "queued" || info.State == "scheduled" {
			waiting = true
			continue
		}
		setState(&recipients[i], info)
	}
	if waiting {
		return outbox.Result{
			Verdict: outbox.VerdictBacklogged, Outcome: m.app.storedOutcome(recipients),
			Reason: entry.Reason,
		}
	}
	return m.app.mailOutcome(recipients, m)
}

// setState sets what the state of a message says of its recipient.
func setState(recipient *mandrill.Recipient, info mandrill.Info) {
	recipient.QueuedReason = ""
	switch info.State {
	case "queued", "scheduled":
		recipient.Status = info.State
	case "rejected", "canceled":
		recipient.Status, recipient.RejectReason = "rejected", info.RejectReason
	default:
		recipient.Status = "sent"
	}
}

// info returns what became of one message: from what a search has found, else by asking for it. Mandrill knows a
// message only some time after it has queued it.
func (m storedMail) info(
	ctx context.Context, entry outbox.Delivery, id string, known []mandrill.Info,
) (mandrill.Info, error) {
	isIt := func(info mandrill.Info) bool { return info.ID == id }
	if i := slices.IndexFunc(known, isIt); i >= 0 {
		return known[i], nil
	}
	allowed, err := m.app.outbox.Allow(ctx, "info", entry.Sender, infosAllowed)
	if err != nil {
		return mandrill.Info{}, err
	}
	if !allowed {
		return mandrill.Info{}, errManyInfos
	}
	info, err := m.client.Info(ctx, id)
	var failed *mandrill.Error
	if errors.As(err, &failed) && failed.Name == "Unknown_Message" {
		return mandrill.Info{State: "queued"}, nil
	}
	return info, err
}
