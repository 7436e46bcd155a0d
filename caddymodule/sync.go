package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// deliver renders a hook and sends what comes out before Ory is answered.
func (c *call) deliver(hook *ory.Hook) answer {
	p, err := c.render(hook)
	var invalid *mandrill.InvalidError
	switch {
	case err == nil:
	case errors.Is(err, render.ErrCancelled):
		return c.end(outcomeCancelled, nil, nil)
	case errors.As(err, &invalid):
		return c.end(outcomeMessage, ory.ErrMessage, err)
	case errors.Is(err, context.Canceled):
		// The client went away: that is no fault of the template.
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err)
	default:
		return c.end(outcomeTemplate, ory.ErrTemplate, err)
	}
	key, ofBody := c.key(hook, p.IdempotencyKey())
	answer, err := c.hook.app.records.once(c.request.Context(), key, func() (answer, time.Duration) {
		if c.hook.app.outboxKey == "" {
			sent, result := c.send(p)
			return sent, c.remembered(result, ofBody)
		}
		return c.record(p, key, ofBody)
	})
	if err != nil {
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err)
	}
	if answer.duplicate {
		c.outcome = outcomeRepeated
	}
	return answer
}

// remembered tells for how long an outcome is to be remembered here: not at all where no mail went out, so that
// the next call tries again, nor where an equal body may say something anew, which the outbox tells.
func (c *call) remembered(r outbox.Result, ofBody bool) time.Duration {
	switch {
	case ofBody && c.hook.target.ordered():
		return 0
	case r.Verdict == outbox.VerdictUnknown:
		return rememberUnknown
	case r.Verdict != outbox.VerdictSent:
		return 0
	case ofBody:
		return rememberBody
	default:
		return c.hook.app.keeps()
	}
}

// record sends the message, and keeps in the outbox that it does and what comes of it: other edges, and
// this one after a restart, know it then. Where the outbox can't store, the mail is worth more than the record.
func (c *call) record(p parcel, key string, ofBody bool) (answer, time.Duration) {
	entry, err := c.entry(p)
	if err != nil {
		return c.end(outcomeMessage, ory.ErrMessage, err), 0
	}
	entry.Expires = time.Time{}
	c.identify(&entry, key, ofBody)
	entry.Claim = time.Duration(c.hook.Timeout) + rememberUnknown
	receipt, err := c.hook.app.put(c.request.Context(), entry)
	if err != nil {
		c.hook.logger.Warn("hook is not recorded", zap.String("hook", entry.Hook), zap.String("reference", c.reference), zap.Error(err))
		sent, result := c.send(p)
		return sent, c.remembered(result, ofBody)
	}
	if receipt.Duplicate {
		return c.known(receipt, p), 0
	}
	sent, result := c.send(p)
	sent.entry = receipt.ID
	if err := c.hook.app.outbox.Settle(context.WithoutCancel(c.request.Context()), receipt.ID, entry, result); err != nil {
		c.hook.logger.Error("hook's outcome is not recorded", zap.String("entry", receipt.ID), zap.String("reference", c.reference), zap.Error(err))
	}
	return sent, c.remembered(result, ofBody)
}

// known is the answer to a call whose key is on record.
func (c *call) known(receipt outbox.Receipt, p parcel) answer {
	found := c.end(outcomeRepeated, nil, nil)
	var recipients []mandrill.Recipient
	switch {
	case receipt.Claimed:
		found = c.end(outcomeUnknown, ory.ErrUnavailable, nil)
	case receipt.Entry.State == outbox.Sent && json.Unmarshal(receipt.Entry.Outcome, &recipients) == nil && len(recipients) > 0:
		addressed(recipients, p)
		found = c.told(p, recipients)
	default:
		found.queued = true
	}
	found.entry, found.duplicate = receipt.ID, true
	return found
}

// send sends the message before Ory is answered.
func (c *call) send(p parcel) (answer, outbox.Result) {
	// Ory gives up before Mailchimp answers, and calls again: what was begun is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.request.Context()), time.Duration(c.hook.Timeout))
	defer cancel()
	ctx, span := startSpan(ctx, "mailchimp.send")
	recipients, err := p.send(ctx)
	c.hook.endSpan(span, err)
	if err != nil {
		result := failure(err)
		return c.failed(result.Verdict, err), result
	}
	for _, recipient := range recipients {
		if !p.took(recipient) {
			c.logRejected(recipient)
		}
	}
	return c.told(p, recipients), p.outcome(recipients)
}

// told is the answer to what Mailchimp said of each recipient.
func (c *call) told(p parcel, recipients []mandrill.Recipient) answer {
	if slices.ContainsFunc(recipients, func(r mandrill.Recipient) bool { return !p.took(r) }) {
		return c.end(outcomeRejected, ory.ErrRecipient, nil)
	}
	sent := c.end(outcomeSent, nil, nil)
	sent.recipients = recipients
	return sent
}

func (c *call) failed(verdict outbox.Verdict, err error) answer {
	switch verdict {
	case outbox.VerdictRejected:
		return c.end(outcomeRejected, ory.ErrRecipient, err)
	case outbox.VerdictDead:
		return c.end(outcomeRejected, ory.ErrRefused, err)
	case outbox.VerdictUnknown:
		return c.end(outcomeUnknown, ory.ErrUnavailable, err)
	default:
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err)
	}
}

func (c *call) logRejected(recipient mandrill.Recipient) {
	fields := []zap.Field{
		zap.String("hook", c.path()),
		zap.String("template", c.hook.Template),
		zap.String("reference", c.reference),
		zap.String("status", recipient.Status),
		zap.String("reason", recipient.RejectReason),
		zap.String("message_id", recipient.ID),
		zap.String("remedy", recipient.Remedy()),
	}
	if c.hook.app.LogRecipients {
		fields = append(fields, zap.String("recipient", recipient.Email))
	}
	c.hook.logger.Warn("recipient rejected", fields...)
}
