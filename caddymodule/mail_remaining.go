package caddymodule

import (
	"errors"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// remaining is a message that some of its recipients may have already: what is left to be sent, and to whom.
type remaining struct {
	whole storedMail
	// former is what Mandrill said of all recipients before, in their order. It is empty if the whole message is sent.
	former []mandrill.Recipient
	// left is the message for those that were not accepted.
	left *mandrill.Stored
}

var errWhoHasIt = errors.New("some recipients were accepted, but it is not known which")

// remainingOf returns what is left of a message. If Mandrill had accepted it for all recipients, or for none, it is
// sent to all of them: the operator asked for it.
func (m storedMail) remainingOf(entry outbox.Delivery) (remaining, error) {
	former := recipientsFrom(entry.Outcome)
	isLeft := func(r mandrill.Recipient) bool { return !r.Taken() || r.Held() }
	hasIt := func(r mandrill.Recipient) bool { return !isLeft(r) }
	if !slices.ContainsFunc(former, hasIt) || !slices.ContainsFunc(former, isLeft) {
		return remaining{whole: m, left: m.Stored}, nil
	}
	if len(former) != len(m.Recipients()) {
		return remaining{}, errWhoHasIt
	}
	addressed(former, m)
	var accepted []string
	for _, r := range former {
		if hasIt(r) {
			accepted = append(accepted, r.Email)
		}
	}
	left, err := m.Without(accepted)
	return remaining{m, former, left}, err
}

// outcome turns what Mandrill said of the recipients that were left into the result of the attempt, for all recipients.
func (r remaining) outcome(recipients []mandrill.Recipient) outbox.Result {
	all := recipients
	if len(r.former) > 0 {
		all = slices.Clone(r.former)
	}
	for i := range r.former {
		same := func(now mandrill.Recipient) bool { return strings.EqualFold(now.Email, all[i].Email) }
		if now := slices.IndexFunc(recipients, same); now >= 0 {
			all[i] = recipients[now]
		}
	}
	return r.whole.app.mailOutcome(all, r.whole)
}

// isFormer reports whether a message that was found at Mandrill is known from an earlier attempt.
func isFormer(info mandrill.Info, outcome []outbox.Recipient) bool {
	return slices.ContainsFunc(outcome, func(r outbox.Recipient) bool { return r.ID != "" && r.ID == info.ID })
}
