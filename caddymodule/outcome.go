package caddymodule

import (
	"encoding/json"
	"slices"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// encodeOutcome returns what the outbox stores of what Mailchimp said: addresses only if log_recipients is on.
func (a *App) encodeOutcome(recipients []mandrill.Recipient) json.RawMessage {
	if a.outboxKey == "" {
		return nil
	}
	stored := slices.Clone(recipients)
	if !a.LogRecipients {
		for i := range stored {
			stored[i].Email = ""
		}
	}
	encoded, err := json.Marshal(stored)
	if err != nil {
		return nil
	}
	return encoded
}

// decodeOutcome returns what the outbox stored of what Mailchimp said.
func decodeOutcome(outcome json.RawMessage) (recipients []mandrill.Recipient, err error) {
	err = json.Unmarshal(outcome, &recipients)
	return recipients, err
}

// RedactOutcome removes the addresses from a stored outcome, unless log_recipients is on: it may have been on when the
// outcome was stored.
func (a *App) RedactOutcome(outcome json.RawMessage) json.RawMessage {
	if a.LogRecipients || outcome == nil {
		return outcome
	}
	recipients, err := decodeOutcome(outcome)
	if err != nil {
		return outcome
	}
	return a.encodeOutcome(recipients)
}

// addressed sets the addresses of recipients, which are stored only if the operator asks for it. Mailchimp answers in
// their order.
func addressed(recipients []mandrill.Recipient, o outgoing) {
	if addresses := o.Recipients(); len(addresses) == len(recipients) {
		for i := range recipients {
			recipients[i].Email = addresses[i]
		}
	}
}
