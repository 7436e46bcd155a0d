package caddymodule

import (
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// storedOutcome returns what the outbox stores of what Mailchimp said: addresses only if log_recipients is on.
func (a *App) storedOutcome(recipients []mandrill.Recipient) []outbox.Recipient {
	stored := make([]outbox.Recipient, len(recipients))
	for i, r := range recipients {
		stored[i] = outbox.Recipient(r)
	}
	return a.RedactOutcome(stored)
}

// recipientsFrom returns what Mailchimp said, from what the outbox stored of it.
func recipientsFrom(outcome []outbox.Recipient) []mandrill.Recipient {
	recipients := make([]mandrill.Recipient, len(outcome))
	for i, r := range outcome {
		recipients[i] = mandrill.Recipient(r)
	}
	return recipients
}

// RedactOutcome removes the addresses from an outcome, unless log_recipients is on: it may have been on when the
// outcome was stored.
func (a *App) RedactOutcome(outcome []outbox.Recipient) []outbox.Recipient {
	if !a.LogRecipients {
		for i := range outcome {
			outcome[i].Email = ""
		}
	}
	return outcome
}

// addressee is a message or a change of an audience that knows whom it is for.
type addressee interface{ Recipients() []string }

// addressed sets the addresses of recipients, which are stored only if the operator asks for it. Mailchimp answers in
// their order.
func addressed(recipients []mandrill.Recipient, of addressee) {
	if addresses := of.Recipients(); len(addresses) == len(recipients) {
		for i := range recipients {
			recipients[i].Email = addresses[i]
		}
	}
}
