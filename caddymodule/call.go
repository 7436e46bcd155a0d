package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// call is one hook on its way: read, render, parse, send.
type call struct {
	hook      *receiver
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
		if problem == ory.ErrMethod {
			c.hook.warnOfMethod(c.request)
		}
		return c.end(outcomeRefused, problem, problem)
	}
	c.hook.warnOfCtx(c.request, hook)
	if c.hook.Delivery == "queued" {
		return c.queue(hook)
	}
	return c.deliver(hook)
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
	c.emit()
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
		zap.String("hook", c.path()),
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
		fields = append(fields, zap.String("error", c.hook.explain(c.cause, c.hook.app.LogRecipients)))
	}
	if writing != nil {
		fields = append(fields, zap.NamedError("writing", writing))
	}
	entry.Write(fields...)
}

// emit tells what no entry of the outbox tells.
func (c *call) emit() {
	event := ""
	switch {
	case c.outcome == outcomeTemplate || c.outcome == outcomeMessage:
		event = eventTemplateFailed
	case c.hook.app.outboxKey == "" && (c.outcome == outcomeSent || c.outcome == outcomeRejected):
		event = "mailchimp." + c.outcome
	default:
		return
	}
	if !c.hook.app.events.ShouldEmit(event) {
		return
	}
	data := map[string]any{"sender": c.hook.target.sender(), "hook": c.path(), "template": c.hook.Template, "reference": c.reference, "reason": ""}
	if c.cause != nil {
		data["reason"] = c.hook.explain(c.cause, c.hook.app.LogRecipients)
	}
	c.hook.app.emit(event, data)
}

// explain returns the text of an error that is fit for the log: what a person may have typed only
// where the operator asked for it.
func (h *receiver) explain(err error, whole bool) string {
	var rendering *render.Error
	var invalid *mandrill.InvalidError
	switch {
	case whole:
	case errors.As(err, &rendering):
		return rendering.Safe()
	case errors.As(err, &invalid):
		return invalid.Safe(h.template.Spells)
	}
	return explain(err, whole)
}

// explain is that of a call of Mailchimp, with what can be done about it.
func explain(err error, whole bool) string {
	text := err.Error()
	var failure *mandrill.Error
	if errors.As(err, &failure) {
		return describe(text, failure.Detail, failure.Remedy(), whole)
	}
	var changing *audience.Error
	if errors.As(err, &changing) {
		return describe(text, changing.Detail, changing.Remedy(), whole)
	}
	return text
}

func describe(text, detail, remedy string, whole bool) string {
	if whole && detail != "" {
		text += ": " + detail
	}
	if remedy != "" {
		text += ": " + remedy
	}
	return text
}
