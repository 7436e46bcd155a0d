package caddymodule

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// sendNow renders a hook and sends the result before Ory is answered.
func (c *call) sendNow(hook *ory.Hook) answer {
	o, err := c.render(hook)
	if stopped, ok := c.stopped(err); ok {
		return stopped
	}
	if invalid := (*mandrill.InvalidError)(nil); errors.As(err, &invalid) {
		return c.end(outcomeMessage, ory.ErrMessage, err)
	}
	if err != nil {
		return c.end(outcomeTemplate, ory.ErrTemplate, err)
	}
	key, ofBody := c.key(hook, o.IdempotencyKey())
	reply, first, err := c.hook.app.replies.claim(c.request.Context(), key)
	switch {
	case err != nil:
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err)
	case !first:
		c.outcome = outcomeRepeated
		repeat := reply.answer
		repeat.duplicate = true
		return repeat
	}
	defer reply.release()
	sent, remember := c.claimAndSend(hook, o, ofBody)
	if sent.duplicate {
		c.outcome = outcomeRepeated
	}
	reply.remember(sent, remember)
	return sent
}

// rememberFor returns for how long the reply cache remembers an outcome: not at all if no mail was sent, so that the
// next call tries again, nor if an identical body can be a new statement, which the outbox decides.
func (c *call) rememberFor(r outbox.Result, ofBody bool) time.Duration {
	switch {
	case ofBody && c.hook.kind.ordered():
		return 0
	case r.Verdict == outbox.VerdictUnknown:
		return rememberUnknown
	case r.Verdict != outbox.VerdictSent && r.Verdict != outbox.VerdictBacklogged:
		return 0
	case ofBody:
		return rememberBody
	default:
		return c.hook.app.keepFor()
	}
}

// claimAndSend claims the key in the outbox, sends the message and stores the outcome, so that other edges, and this
// one after a restart, know of it. If the outbox is off or cannot store, the message is sent all the same. It returns
// the answer, and for how long the reply cache remembers it.
func (c *call) claimAndSend(hook *ory.Hook, o outgoing, ofBody bool) (answer, time.Duration) {
	if c.hook.app.outboxKey == "" {
		sent, result := c.sendOnce(o)
		return sent, c.rememberFor(result, ofBody)
	}
	entry, err := c.entry(o)
	if err != nil {
		return c.end(outcomeMessage, ory.ErrMessage, err), 0
	}
	entry.Expires = time.Time{}
	c.setKey(&entry, hook, o.IdempotencyKey())
	entry.Claim = time.Duration(c.hook.Timeout) + rememberUnknown
	receipt, err := c.hook.app.put(c.request.Context(), entry)
	if err != nil {
		c.hook.logger.Warn("hook is not recorded",
			zap.String("hook", entry.Hook), zap.String("reference", c.reference), zap.Error(err))
		sent, result := c.sendOnce(o)
		return sent, c.rememberFor(result, ofBody)
	}
	if receipt.Duplicate {
		return c.answerFromRecord(receipt, o), 0
	}
	ctx := context.WithoutCancel(c.request.Context())
	entry.ID = receipt.ID
	admission, err := c.hook.app.outbox.Admit(ctx, entry)
	if errors.Is(err, outbox.ErrHeld) {
		return c.refuseHeld(entry, err), 0
	}
	sent, result := c.sendOnce(o)
	sent.entry = receipt.ID
	if admission != nil {
		if err := admission.Done(ctx, result); err != nil {
			c.hook.logger.Error("hold is not stored", zap.String("entry", receipt.ID), zap.Error(err))
		}
	}
	if err := c.hook.app.outbox.Settle(ctx, receipt.ID, entry, result); err != nil {
		c.hook.logger.Error("hook's outcome is not recorded",
			zap.String("entry", receipt.ID), zap.String("reference", c.reference), zap.Error(err))
	}
	return sent, c.rememberFor(result, ofBody)
}

// refuseHeld answers a call whose account is held, at once, and forgets the entry.
func (c *call) refuseHeld(entry outbox.New, held error) answer {
	ctx := context.WithoutCancel(c.request.Context())
	if err := c.hook.app.outbox.Settle(ctx, entry.ID, entry, outbox.Result{Verdict: outbox.VerdictHold}); err != nil {
		c.hook.logger.Error("hook's outcome is not recorded", zap.String("entry", entry.ID), zap.Error(err))
	}
	return c.end(outcomeUnavailable, ory.ErrUnavailable, held)
}

// answerFromRecord returns the answer to a call whose key the outbox knows.
func (c *call) answerFromRecord(receipt outbox.Receipt, o outgoing) answer {
	found := c.end(outcomeRepeated, nil, nil)
	recipients := recipientsFrom(receipt.Entry.Outcome)
	switch {
	case receipt.Claimed:
		found = c.end(outcomeUnknown, ory.ErrUnavailable, nil)
	case receipt.Entry.State == outbox.Sent && len(recipients) > 0:
		addressed(recipients, o)
		found = c.answerFor(o, recipients)
	default:
		found.queued = true
	}
	found.entry, found.duplicate = receipt.ID, true
	return found
}

// sendOnce sends the message before Ory is answered.
func (c *call) sendOnce(o outgoing) (answer, outbox.Result) {
	// Ory gives up before Mailchimp answers, and calls again: what was begun is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.request.Context()), time.Duration(c.hook.Timeout))
	defer cancel()
	ctx, span := startSpan(ctx, "mailchimp.send")
	recipients, err := o.send(ctx)
	c.hook.endSpan(span, err)
	if err != nil {
		result := o.failure(ctx, err)
		return c.failed(o.Recipients(), result.Verdict, err), result
	}
	for _, recipient := range recipients {
		if !o.accepted(recipient) {
			c.logRejected(recipient)
		}
	}
	result := o.outcome(recipients)
	if result.Verdict == outbox.VerdictHold || result.Verdict == outbox.VerdictDead {
		// The domain or the key cannot send, or the operator must change the message: this is not the person's trouble.
		return c.failed(o.Recipients(), result.Verdict, errors.New(result.Reason)), result
	}
	return c.answerFor(o, recipients), result
}

// answerFor returns the answer for what Mailchimp said of each recipient.
func (c *call) answerFor(o outgoing, recipients []mandrill.Recipient) answer {
	var rejected []string
	for _, recipient := range recipients {
		if !o.accepted(recipient) {
			rejected = append(rejected, recipient.Email)
		}
	}
	if len(rejected) > 0 {
		return c.rejected(rejected, nil)
	}
	sent := c.end(outcomeSent, nil, nil)
	sent.recipients = recipients
	return sent
}

// rejected returns the answer for addresses that Mailchimp does not accept.
func (c *call) rejected(addresses []string, cause error) answer {
	rejected := c.end(outcomeRejected, ory.ErrRecipient, cause)
	rejected.fields = c.received.TraitsOf(addresses)
	return rejected
}

// failed returns the answer for a message or change to the addresses that was not made.
func (c *call) failed(addresses []string, verdict outbox.Verdict, err error) answer {
	switch verdict {
	case outbox.VerdictRejected:
		return c.rejected(addresses, err)
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
