package caddymodule

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// courierLinks are what a courier's mail is about.
var courierLinks = []string{"recovery_url", "verification_url"}

// courierExpiry is how long a courier's mail is of use that doesn't say: its code expires.
const courierExpiry = 15 * time.Minute

// queue renders a hook and stores what comes out. A hook that can't be rendered is stored too: a person who
// registers must not see an error because a template has one.
func (c *call) queue(hook *ory.Hook) answer {
	p, err := c.render(hook)
	if errors.Is(err, render.ErrCancelled) {
		return c.end(outcomeCancelled, nil, nil)
	}
	var entry outbox.New
	given := ""
	if err == nil {
		given = p.IdempotencyKey()
		if entry, err = c.entry(p); err != nil {
			return c.end(outcomeMessage, ory.ErrMessage, err)
		}
	} else {
		c.cause = err
		if entry, err = c.unrendered(hook.Ctx, c.hook.explain(err, false)); err != nil {
			return c.end(outcomeTemplate, ory.ErrTemplate, err)
		}
	}
	key, ofBody := c.key(hook, given)
	c.identify(&entry, key, ofBody)
	ctx, span := startSpan(c.request.Context(), "mailchimp.store")
	receipt, err := c.hook.app.put(ctx, entry)
	span.SetAttributes(attribute.String("mailchimp.entry", receipt.ID), attribute.Bool("mailchimp.duplicate", receipt.Duplicate))
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
	return answer{entry: receipt.ID, queued: true, duplicate: receipt.Duplicate}
}

// entry makes an entry of what was rendered.
func (c *call) entry(p outgoing) (outbox.New, error) {
	entry, err := newEntry(p, time.Now())
	c.sign(&entry)
	return entry, err
}

// newEntry makes an entry of what was rendered alone. It expires so long after it was accepted as the template says.
func newEntry(p outgoing, accepted time.Time) (outbox.New, error) {
	entry := outbox.New{Sender: p.sender(), Recipients: p.Recipients(), Private: p.Private()}
	if p.ExpiresIn() > 0 {
		entry.Expires = accepted.Add(p.ExpiresIn())
	}
	var err error
	entry.Content, err = p.MarshalJSON() // json.Marshal would go over it once more
	return entry, err
}

// sign says where the entry comes from.
func (c *call) sign(entry *outbox.New) {
	entry.Hook, entry.Template, entry.Handler, entry.Trace = c.path(), c.hook.Template, c.hook.id, traceOf(c.request)
}

// identify gives the entry its key. Other keys than a body's are known for as long as the entry is.
func (c *call) identify(entry *outbox.New, key string, ofBody bool) {
	entry.Key, entry.Ordered = key, c.hook.kind.ordered()
	if ofBody {
		entry.Remember = rememberBody
	}
}

// render evaluates the template and checks what it returned.
func (c *call) render(hook *ory.Hook) (outgoing, error) {
	started := time.Now()
	ctx, span := startSpan(c.request.Context(), "mailchimp.render", attribute.String("mailchimp.template", c.hook.Template))
	message, err := c.hook.template.Render(ctx, hook.Ctx)
	c.hook.endSpan(span, err)
	c.hook.app.metrics.renderSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		return nil, err
	}
	return c.hook.kind.parse(message)
}

// unrendered makes an entry of a ctx, less what is secret in it.
func (c *call) unrendered(ctx map[string]any, reason string) (outbox.New, error) {
	entry := outbox.New{Sender: c.hook.kind.sender(), Unrendered: reason}
	c.sign(&entry)
	_, courier := ctx["template_type"]
	if courier {
		// A code or a link is of no use for long, and is the mail's very content.
		minutes, _ := object(ctx["template_data"])["expires_in_minutes"].(float64)
		expiry := courierExpiry
		if minutes > 0 && minutes < 7*24*60 {
			expiry = time.Duration(minutes * float64(time.Minute))
		}
		entry.Expires, entry.Private = time.Now().Add(expiry), true
	}
	stripped := withoutQueries(ctx).(map[string]any)
	for _, name := range courierLinks {
		if link, has := object(ctx["template_data"])[name]; has && courier {
			object(stripped["template_data"])[name] = link
		}
	}
	ctx = stripped
	if flow, has := ctx["flow"].(map[string]any); has {
		delete(flow, "ui")
	}
	delete(ctx, "request_cookies")
	if headers, has := ctx["request_headers"].(map[string]any); has {
		ctx["request_headers"] = map[string]any{"Accept-Language": headers["Accept-Language"]}
		if headers["Accept-Language"] == nil {
			delete(ctx, "request_headers")
		}
	}
	entry.Recipients = addressesIn(ctx)
	var err error
	entry.Content, err = json.Marshal(ctx)
	return entry, err
}

// withoutQueries copies a value, and cuts URLs in it at their query, which may have tokens.
func withoutQueries(value any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(value))
		for name, child := range value {
			copied[name] = withoutQueries(child)
		}
		return copied
	case []any:
		copied := make([]any, len(value))
		for i, child := range value {
			copied[i] = withoutQueries(child)
		}
		return copied
	case string:
		if strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://") {
			value, _, _ = strings.Cut(value, "?")
		}
		return value
	}
	return value
}

func object(value any) map[string]any {
	found, _ := value.(map[string]any)
	return found
}

// addressesIn finds to whom a ctx belongs, so that the entry can be found, and forgotten.
func addressesIn(ctx map[string]any) []string {
	var addresses []string
	add := func(value any) {
		if address, ok := value.(string); ok && address != "" && !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	add(ctx["recipient"])
	for _, identity := range []map[string]any{object(ctx["identity"]), object(object(ctx["flow"])["identity"]), object(object(ctx["template_data"])["identity"])} {
		add(object(identity["traits"])["email"])
		list, _ := identity["verifiable_addresses"].([]any)
		for _, element := range list {
			add(object(element)["value"])
		}
	}
	return addresses
}
