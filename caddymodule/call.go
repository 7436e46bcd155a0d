package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// call is one hook on its way: read, render, parse, send.
type call struct {
	hook      *Hook
	request   *http.Request
	reference string
	started   time.Time

	// outcome and cause are what the log says beside the answer.
	outcome string
	cause   error
}

// outcomes of a call
const (
	outcomeSent        = "sent"
	outcomeCancelled   = "cancelled"
	outcomeRefused     = "refused"
	outcomeTemplate    = "template_failed"
	outcomeMessage     = "message_invalid"
	outcomeRejected    = "rejected"
	outcomeUnavailable = "unavailable"
	outcomeUnknown     = "unknown"
	outcomeRepeated    = "repeated"
	outcomeQueued      = "queued"
	outcomeUnrendered  = "unrendered"
)

func (c *call) serve() answer {
	hook, problem := c.hook.reader.Read(c.request)
	if problem != nil {
		return c.end(outcomeRefused, problem, problem)
	}
	if c.hook.Delivery == "queued" {
		return c.queue(hook)
	}
	request, err := c.render(hook)
	var invalid *mandrill.InvalidError
	switch {
	case err == nil:
	case errors.Is(err, render.ErrCancelled):
		return c.end(outcomeCancelled, nil, nil)
	case errors.As(err, &invalid):
		return c.end(outcomeMessage, ory.ErrMessage, err)
	default:
		return c.end(outcomeTemplate, ory.ErrTemplate, err)
	}
	key, remember := idempotencyKey(c.request, hook, request.IdempotencyKey())
	answer, err := c.hook.app.records.once(c.request.Context(), key, func() (answer, time.Duration) {
		return c.send(request, remember)
	})
	if err != nil {
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err)
	}
	if answer.duplicate {
		c.outcome = outcomeRepeated
	}
	return answer
}

// send sends the message, and tells for how long its answer is to be remembered: not at all where
// no mail went out, so that the next call tries again.
func (c *call) send(request *mandrill.Request, remember time.Duration) (answer, time.Duration) {
	// Ory gives up before Mandrill answers, and calls again: what was begun is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.request.Context()), time.Duration(c.hook.Timeout))
	defer cancel()
	started := time.Now()
	recipients, err := c.hook.client.Send(ctx, request)
	c.hook.app.metrics.sendSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		return c.failed(err)
	}
	taken := 0
	for _, recipient := range recipients {
		c.hook.app.metrics.countRecipient(recipient)
		if recipient.Taken() {
			taken++
			continue
		}
		c.logRejected(recipient)
	}
	if taken == 0 {
		remember = 0
	}
	if taken < len(recipients) {
		return c.end(outcomeRejected, ory.ErrRecipient, nil), remember
	}
	sent := c.end(outcomeSent, nil, nil)
	sent.recipients = recipients
	return sent, remember
}

func (c *call) failed(err error) (answer, time.Duration) {
	var failure *mandrill.Error
	if !errors.As(err, &failure) {
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err), 0
	}
	switch failure.Kind {
	case mandrill.Refused:
		return c.end(outcomeRejected, ory.ErrRefused, err), 0
	case mandrill.Unknown:
		return c.end(outcomeUnknown, ory.ErrUnavailable, err), rememberUnknown
	default:
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err), 0
	}
}

// end sets what the log says, and returns the answer.
func (c *call) end(outcome string, problem *ory.Error, cause error) answer {
	c.outcome, c.cause = outcome, cause
	return answer{problem: problem}
}

// log writes the call's line.
func (c *call) log(a answer, writing error) {
	status := a.status(c.request)
	c.hook.app.metrics.countHook(status)
	level := zapcore.InfoLevel
	switch {
	case status >= http.StatusInternalServerError || c.outcome == outcomeTemplate || c.outcome == outcomeMessage || c.outcome == outcomeUnrendered:
		level = zapcore.ErrorLevel
	case status >= http.StatusBadRequest || writing != nil:
		level = zapcore.WarnLevel
	}
	entry := c.hook.logger.Check(level, "hook answered")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("hook", c.request.URL.Path),
		zap.String("template", c.hook.Template),
		zap.String("reference", c.reference),
		zap.Int("status", status),
		zap.String("outcome", c.outcome),
		zap.Duration("duration", time.Since(c.started)),
	}
	if a.entry != "" {
		fields = append(fields, zap.String("entry", a.entry))
	}
	if c.cause != nil {
		fields = append(fields, zap.String("error", explain(c.cause, c.hook.app.LogRecipients)))
	}
	if writing != nil {
		fields = append(fields, zap.NamedError("writing", writing))
	}
	entry.Write(fields...)
}

// explain returns the text of an error that is fit for the log: what a person may have typed only
// where the operator asked for it.
func explain(err error, whole bool) string {
	var rendering *render.Error
	if errors.As(err, &rendering) && !whole {
		return rendering.Safe()
	}
	text := err.Error()
	var failure *mandrill.Error
	if errors.As(err, &failure) {
		if whole && failure.Detail != "" {
			text += ": " + failure.Detail
		}
		if remedy := failure.Remedy(); remedy != "" {
			text += ": " + remedy
		}
	}
	return text
}

func (c *call) logRejected(recipient mandrill.Recipient) {
	fields := []zap.Field{
		zap.String("hook", c.request.URL.Path),
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
