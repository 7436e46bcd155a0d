package caddymodule

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// call is one hook on its way: read, render, parse, send.
type call struct {
	hook      *Webhook
	request   *http.Request
	writer    http.ResponseWriter
	reference string
	started   time.Time

	// outcome and cause go to the log, beside the answer.
	outcome string
	cause   error

	// received is what Ory sent.
	received *ory.Hook
}

// Outcomes of a call.
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

var errEmptyBody = errors.New("the body is empty: Ory's own Jsonnet for it failed, " +
	"as it does for a ctx of more than about 64 KB; see Ory's log")

// templateOutcomes are those that lie with the template.
var templateOutcomes = []string{outcomeTemplate, outcomeMessage, outcomeUnrendered}

var errBusy = errors.New("the bodies of other hooks take all the memory that there is for them")

func (c *call) handle() answer {
	limitReading(c.writer, bodyTimeout)
	hook, problem := c.hook.auth.reader.Load().Read(c.request)
	switch problem {
	case nil:
	case ory.ErrBusy:
		return c.end(outcomeUnavailable, problem, errBusy)
	case ory.ErrEmpty:
		return c.end(outcomeUnavailable, problem, errEmptyBody)
	case ory.ErrMethod:
		c.hook.warnOfMethod(c.request)
		fallthrough
	default:
		return c.end(outcomeRefused, problem, problem)
	}
	defer hook.Release()
	unlimitReading(c.writer)
	c.hook.warnOfCtx(c.request, hook)
	c.received = hook
	if c.hook.Delivery == "queued" {
		return c.enqueue(hook)
	}
	return c.sendNow(hook)
}

// end sets what goes to the log, and returns the answer.
func (c *call) end(outcome string, problem *ory.Error, cause error) answer {
	c.outcome, c.cause = outcome, cause
	return answer{problem: problem}
}

// log counts the call and logs its line.
func (c *call) log(a answer, writing error) {
	status := a.status(c.request)
	c.hook.app.metrics.countHook(status, c.hook.kind.sender(), c.hook.Template)
	c.hook.noteCall(c.path(), status)
	c.emit()
	level := zapcore.InfoLevel
	switch {
	case status >= http.StatusInternalServerError, slices.Contains(templateOutcomes, c.outcome):
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

// setPlaceholders sets {http.mailchimp_hook.entry}, .outcome and .reference, and the same of mailchimp_audience, for
// access logs.
func (c *call) setPlaceholders(a answer) {
	replacer, ok := c.request.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return // a test calls the handler without Caddy
	}
	prefix := "http." + c.hook.kind.directive() + "."
	replacer.Set(prefix+"entry", a.entry)
	replacer.Set(prefix+"outcome", c.outcome)
	replacer.Set(prefix+"reference", c.reference)
}

// emit emits events for calls that leave no outbox entry.
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
	if !c.hook.app.events.wants(event) {
		return
	}
	data := map[string]any{
		"sender": c.hook.kind.sender(), "hook": c.path(), "template": c.hook.Template,
		"reference": c.reference, "reason": "",
	}
	if c.cause != nil {
		data["reason"] = c.hook.explain(c.cause, c.hook.app.LogRecipients)
	}
	c.hook.app.events.emit(event, data)
}
