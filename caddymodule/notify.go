package caddymodule

import (
	"cmp"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// OutboxError is something that went wrong in the outbox, as the admin API shows it.
type OutboxError struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"`
	Entry  string    `json:"entry,omitempty"`
	Sender string    `json:"sender"`
	Reason string    `json:"reason"`
}

// lastError survives reloads.
var lastError atomic.Pointer[OutboxError]

// LastOutboxError returns what went wrong last in the outboxes of this process, or nil.
func LastOutboxError() *OutboxError { return lastError.Load() }

// onOutboxEvent handles an event of the outbox: log, metrics and Caddy event.
func (a *App) onOutboxEvent(e outbox.Event) {
	a.metrics.outboxEvents.WithLabelValues(e.Name).Inc()
	if troubling[e.Name] {
		lastError.Store(&OutboxError{time.Now(), e.Name, e.Entry.ID, cmp.Or(e.Entry.Sender, e.Hold.Sender), e.Reason})
	}
	if name := eventNames[e.Name]; name != "" && a.events.wants(name) {
		data := entryData(e.Entry, e.Reason)
		if e.Hold.Scope != "" {
			data["sender"], data["scope"] = e.Hold.Sender, string(e.Hold.Scope)
		}
		a.events.emit(name, data)
	}
	if e.Name == "lost" && e.Entry.ID == "" {
		a.logger.Error("entries were forgotten", zap.String("state", string(e.Entry.State)), zap.String("reason", e.Reason))
		return
	}
	if e.Entry.ID == "" {
		a.logger.Warn("sender "+eventWords[e.Name], zap.String("sender", e.Hold.Sender),
			zap.String("scope", string(e.Hold.Scope)), zap.String("reason", e.Reason))
		return
	}
	fields := []zap.Field{
		zap.String("entry", e.Entry.ID), zap.String("sender", e.Entry.Sender), zap.String("hook", e.Entry.Hook),
		zap.String("template", e.Entry.Template), zap.Int("attempt", len(e.Entry.Attempts)), zap.String("outcome", e.Name),
	}
	if e.Reason != "" {
		fields = append(fields, zap.String("reason", e.Reason))
	}
	if id := traceID(e.Entry.Trace); id != "" {
		fields = append(fields, zap.String("trace", id))
	}
	switch e.Name {
	case string(outbox.Sent), string(outbox.Discarded):
		a.logger.Info("entry ended", fields...)
	case "retry", "interrupted":
		a.logger.Warn("entry is tried again", append(fields, zap.Duration("delay", e.Delay))...)
	case "sealed":
		a.logger.Error("entry can't be opened", fields...)
	case string(outbox.Unrendered):
		a.logger.Error("entry can't be rendered: fix the template and retry it", fields...)
	case string(outbox.Rejected), string(outbox.Expired):
		a.logger.Warn("entry ended", fields...)
	default:
		a.logger.Error("entry ended", fields...)
	}
}

var eventWords = map[string]string{"hold": "is held", "release": "is released"}

// troubling are the outbox's events that are worth a look.
var troubling = map[string]bool{
	"retry": true, "interrupted": true, "hold": true, "lost": true,
	string(outbox.Rejected): true, string(outbox.Dead): true,
	string(outbox.Expired): true, string(outbox.Unrendered): true,
}

// eventNames are Caddy's events for those of the outbox.
var eventNames = map[string]string{
	string(outbox.Sent): "mailchimp.sent", string(outbox.Rejected): "mailchimp.rejected",
	string(outbox.Dead):    "mailchimp.dead",
	string(outbox.Expired): "mailchimp.expired", string(outbox.Unrendered): eventTemplateFailed,
	"hold": "mailchimp.held", "release": "mailchimp.released",
}

const eventTemplateFailed = "mailchimp.template_failed"

// entryData returns the data of an event about an entry: strings and numbers, so that placeholders such as
// {event.data.entry} work.
func entryData(e outbox.Entry, reason string) map[string]any {
	data := map[string]any{"sender": e.Sender, "reason": reason}
	if e.ID == "" {
		return data
	}
	data["entry"], data["state"], data["hook"], data["template"] = e.ID, string(e.State), e.Hook, e.Template
	data["attempts"], data["trace"] = len(e.Attempts), traceID(e.Trace)
	var ids []string
	for _, recipient := range e.Outcome {
		if recipient.ID != "" {
			ids = append(ids, recipient.ID)
		}
	}
	data["message_ids"] = strings.Join(ids, " ")
	return data
}
