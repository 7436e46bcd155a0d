package caddymodule

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// enqueue renders a hook and stores the result. A hook that can't be rendered is stored too: a person who registers
// must not see an error because a template has one.
func (c *call) enqueue(hook *ory.Hook) answer {
	o, err := c.render(hook)
	if stopped, ok := c.stopped(err); ok {
		return stopped
	}
	var entry outbox.New
	given := ""
	if err == nil {
		given = o.IdempotencyKey()
		id, box, err := c.hook.app.name(c.request.Context())
		if err != nil {
			return c.end(outcomeUnavailable, ory.ErrStore, err)
		}
		if !o.tie(id, box) {
			c.hook.noteUntied()
		}
		if entry, err = c.entry(o); err != nil {
			return c.end(outcomeMessage, ory.ErrMessage, err)
		}
		entry.ID = id
	} else {
		c.cause = err
		if entry, err = c.unrendered(hook.Ctx, c.hook.explain(err, c.hook.app.LogRecipients)); err != nil {
			return c.end(outcomeTemplate, ory.ErrTemplate, err)
		}
	}
	c.setKey(&entry, hook, given)
	ctx, span := startSpan(c.request.Context(), "mailchimp.store")
	receipt, err := c.hook.app.put(ctx, entry)
	span.SetAttributes(
		attribute.String("mailchimp.entry", receipt.ID), attribute.Bool("mailchimp.duplicate", receipt.Duplicate))
	c.hook.endSpan(span, err)
	if err != nil {
		return c.end(outcomeUnavailable, ory.ErrStore, err)
	}
	c.outcome = outcomeQueued
	switch {
	case receipt.Duplicate:
		c.outcome = outcomeRepeated
	case entry.Unrendered != "":
		c.outcome = outcomeUnrendered
	}
	queued := answer{entry: receipt.ID, queued: true, duplicate: receipt.Duplicate}
	if !receipt.Duplicate {
		queued.unrendered = entry.Unrendered
	}
	return queued
}

// entry returns the entry for what was rendered.
func (c *call) entry(o outgoing) (outbox.New, error) {
	entry, err := newEntry(o, time.Now())
	c.setOrigin(&entry)
	return entry, err
}

// newEntry returns the entry for what was rendered, without its origin. It expires as long after it was accepted as the
// template says.
func newEntry(o outgoing, accepted time.Time) (outbox.New, error) {
	entry := outbox.New{
		Sender: o.sender(), Subaccount: o.Subaccount(), Recipients: o.Recipients(), Private: o.Private(),
	}
	if o.ExpiresIn() > 0 {
		entry.Expires = accepted.Add(o.ExpiresIn())
	}
	var err error
	entry.Content, err = o.MarshalJSON() // json.Marshal would go over it once more
	return entry, err
}

// setOrigin sets where the entry comes from.
func (c *call) setOrigin(entry *outbox.New) {
	entry.Hook, entry.Template, entry.Handler, entry.Trace = c.path(), c.hook.Template, c.hook.id, traceOf(c.request)
}

// setKey sets the entry's key. A key that is not the hash of a body is known for as long as the entry is. A call that
// came before its template gave a key was accepted under that of the request.
func (c *call) setKey(entry *outbox.New, hook *ory.Hook, given string) {
	entry.Ordered = c.hook.kind.ordered()
	remember := time.Duration(0)
	key, ofBody := c.requestKey(hook)
	if ofBody {
		remember = rememberBody
	}
	if given == "" {
		entry.Key, entry.Remember = key, remember
		return
	}
	entry.Key, entry.FormerKey, entry.FormerRemember = c.hook.templateKey(given), key, remember
}

// stopped returns the answer to a call whose rendering ended without a message and without a fault of the template: the
// template cancelled, or the client is gone. Nothing is stored, so that a repeat is a first call.
func (c *call) stopped(err error) (stopped answer, ok bool) {
	switch {
	case errors.Is(err, render.ErrCancelled):
		return c.end(outcomeCancelled, nil, nil), true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return c.end(outcomeUnavailable, ory.ErrUnavailable, err), true
	}
	return answer{}, false
}

// render evaluates the template and checks what it returned.
func (c *call) render(hook *ory.Hook) (outgoing, error) {
	started := time.Now()
	ctx, span := startSpan(c.request.Context(), "mailchimp.render",
		attribute.String("mailchimp.template", c.hook.Template))
	message, err := c.hook.template.Render(ctx, hook.Ctx)
	c.hook.endSpan(span, err)
	c.hook.app.metrics.renderSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		return nil, err
	}
	return c.hook.kind.parse(message)
}
