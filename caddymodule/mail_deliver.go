package caddymodule

import (
	"context"
	"errors"
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

// mail is a message that a template returned.
type mail struct {
	*mandrill.Request
	app    *App
	client *mandrill.Client
	// template is that of the hook.
	template string
}

func (m mail) sender() string { return m.SenderDomain() }

func (m mail) accepted(recipient mandrill.Recipient) bool { return recipient.Taken() }

func (m mail) send(ctx context.Context) ([]mandrill.Recipient, error) {
	started := time.Now()
	recipients, err := m.client.Send(ctx, m.Request)
	m.app.countSending(started, recipients, m.sender(), m.template)
	return recipients, err
}

// countSending counts a call of Mandrill and what it said of the recipients.
func (a *App) countSending(started time.Time, recipients []mandrill.Recipient, sender, template string) {
	a.metrics.sendSeconds.Observe(time.Since(started).Seconds())
	for _, recipient := range recipients {
		a.metrics.countRecipient(recipient, sender, template)
	}
}

// tie adds the metadata fields by which Mandrill's search and its events find the entry. A message whose metadata has
// no room for them cannot be searched for.
func (m mail) tie(entry, outbox string) bool {
	hasEntry := m.SetMetadata(entryField, entry)
	return m.SetMetadata(outboxField, outbox) && hasEntry
}

func (m mail) failure(ctx context.Context, err error) outbox.Result {
	content, _ := m.MarshalJSON() // its encoding was checked when it was parsed
	return m.app.mailFailure(ctx, m.client, err, content)
}

func (m mail) outcome(recipients []mandrill.Recipient) outbox.Result {
	return m.app.mailOutcome(recipients, m)
}

// primaries says which addresses a message is to.
type primaries interface{ IsPrimary(address string) bool }

// mailOutcome turns what Mandrill said of the recipients of a message into the result of an attempt.
func (a *App) mailOutcome(recipients []mandrill.Recipient, of primaries) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictRejected, Outcome: a.storedOutcome(recipients)}
	sent, refused := false, make(map[mandrill.Refusal]string)
	for _, recipient := range recipients {
		refusal := recipient.Refusal()
		switch {
		case recipient.Held():
			result.Verdict, result.Scope = outbox.VerdictBacklogged, outbox.ScopeSubaccount
			result.Reason = "Mandrill queued the mail: " + recipient.QueuedReason
			return result
		case refusal != mandrill.NotRefused:
			result.Reason = refusalOf(recipient)
			refused[refusal] = result.Reason
		case of.IsPrimary(recipient.Email):
			sent = true
		}
	}
	// What lies with the operator loses no mail.
	for _, refusal := range []mandrill.Refusal{mandrill.OfDomain, mandrill.OfKey, mandrill.OfMessage} {
		reason, has := refused[refusal]
		switch {
		case !has:
		case sent:
			result.Verdict, result.Reason, result.KeepContent = outbox.VerdictSent, reason, true
			return result
		default:
			result.Verdict, result.Scope, result.Reason = refusalVerdicts[refusal], refusalScopes[refusal], reason
			return result
		}
	}
	if sent {
		result.Verdict = outbox.VerdictSent
	}
	return result
}

// What refusals that lie with the operator mean for an entry, and what they hold.
var (
	refusalVerdicts = map[mandrill.Refusal]outbox.Verdict{
		mandrill.OfDomain: outbox.VerdictHold, mandrill.OfKey: outbox.VerdictHold, mandrill.OfMessage: outbox.VerdictDead,
	}
	refusalScopes = map[mandrill.Refusal]outbox.Scope{
		mandrill.OfDomain: outbox.ScopeDomain, mandrill.OfKey: outbox.ScopeKey,
	}
)

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

// storedMail is a message that was stored.
type storedMail struct {
	*mandrill.Stored
	app    *App
	client *mandrill.Client
}

func (m storedMail) attempt(ctx context.Context, entry outbox.Delivery, timeout time.Duration) outbox.Result {
	// Whoever can write to the database must not send in the name of another domain.
	if m.SenderDomain() != entry.Sender {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "from_email is not of the entry's sender domain"}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case entry.Uncertain:
		return m.search(ctx, entry)
	case entry.State == outbox.Backlogged:
		return m.lookUp(ctx, entry)
	}
	rest, err := m.remainingOf(entry)
	if err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: err.Error()}
	}
	started := time.Now()
	recipients, err := m.client.SendStored(ctx, rest.left)
	m.app.countSending(started, recipients, entry.Sender, entry.Template)
	if err != nil {
		return m.failed(ctx, err, entry)
	}
	if len(rest.former) > 0 {
		addressed(recipients, rest.left)
	}
	return rest.outcome(recipients)
}

// failed turns the error of a call into the result of the attempt.
func (m storedMail) failed(ctx context.Context, err error, entry outbox.Delivery) outbox.Result {
	result := m.app.mailFailure(ctx, m.client, err, entry.Content)
	if result.Verdict == outbox.VerdictUnknown &&
		(!m.isTied(entry) || m.app.lacksIndex(context.WithoutCancel(ctx), m.client)) {
		result.After = indexedSince // nothing will be found, however long it waits
	}
	return result
}

// mailFailure turns the error of a call into the result of an attempt. A refusal that has none of Mandrill's own names
// holds the account only if the account does not answer either: else something in between does not let this mail
// through.
func (a *App) mailFailure(ctx context.Context, client *mandrill.Client, err error, content []byte) outbox.Result {
	result := a.failure(err, content)
	ctx = context.WithoutCancel(ctx) // the account is asked even if the call took all of its time
	var failed *mandrill.Error
	if result.Verdict == outbox.VerdictHold && errors.As(err, &failed) && !failed.Named() && a.ping(ctx, client) == nil {
		result.Verdict = outbox.VerdictRetry
	}
	return result
}

// isTied reports whether the message says which entry it is of: others cannot be searched for.
func (m storedMail) isTied(entry outbox.Delivery) bool { return m.Metadata(entryField) == entry.ID }

// isOf reports whether a message that was found is that of an entry.
func (m storedMail) isOf(info mandrill.Info, entry string) bool {
	if info.Metadata[entryField] != entry {
		return false
	}
	// A message whose metadata had no room does not say whose it is.
	if whose, says := info.Metadata[outboxField].(string); says {
		if took, err := m.app.outbox.Took(whose); err != nil || !took {
			return false
		}
	}
	return slices.ContainsFunc(m.Recipients(), func(to string) bool { return strings.EqualFold(to, info.Email) })
}
