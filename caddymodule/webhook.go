package caddymodule

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// What applies if the configuration does not say otherwise.
const (
	DefaultTimeout       = 10 * time.Second
	DefaultRenderTimeout = time.Second
	defaultMaxBody       = 1_000_000
)

// Webhook is the common part of mailchimp_hook and mailchimp_audience: what both need to answer a web hook of Ory and
// to evaluate a template over the ctx that Ory sent.
type Webhook struct {
	// The Jsonnet file that evaluates to function(ctx). It is watched: a change takes effect without
	// a reload, and a broken one leaves the last good one in force. Required.
	Template string `json:"template,omitempty"`

	// What lets a call in: any one of these. Required; {"type": "off"} lets everybody in.
	Auth []Auth `json:"auth,omitempty"`

	// When the result of the template is sent: "queued" stores it in the outbox, answers Ory and sends it then;
	// "sync" sends it before Ory is answered. Default: queued.
	Delivery string `json:"delivery,omitempty"`

	// How long one call of Mailchimp may take; in sync, all calls of an audience's change together. Default: 10s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long one evaluation of the template may take. Default: 1s.
	RenderTimeout caddy.Duration `json:"render_timeout,omitempty"`

	// The largest body of a hook, in bytes. Default: 1000000.
	MaxBody int64 `json:"max_body,omitempty"`

	// Folders that the template may import from, beside its own. Default: none.
	Imports []string `json:"imports,omitempty"`

	logger   *zap.Logger
	app      *App
	kind     kind
	auth     *authorizer
	template *render.Template
	// id tells hooks apart that share a template.
	id     string
	warned warnings
	// storesResult is set if Ory stores in the identity what became of the call.
	storesResult bool
}

// kind is what a webhook's template makes: mails, or changes of an audience.
type kind interface {
	// directive names the handler.
	directive() string
	// scope is what tells handlers apart that have the same template, beside their URLs.
	scope() []string
	// sender names the account of what can't be rendered.
	sender() string
	// senders names the accounts of all that it can make.
	senders() []string
	// sends reports whether entries of a sender may come from this handler.
	sends(sender string) bool
	// parse checks what the template returned.
	parse(returned map[string]any) (outgoing, error)
	// errorFor returns an error with a text that fits what is sent.
	errorFor(problem *ory.Error) *ory.Error
	// ordered reports whether messages carry current state, so that order matters and an identical body can be a new
	// statement.
	ordered() bool
}

// provision sets up everything but the kind and the template, which come next and in this order.
func (h *Webhook) provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	app, err := ctx.App("mailchimp")
	if err != nil {
		return err
	}
	h.app = app.(*App)
	if h.Timeout == 0 {
		h.Timeout = caddy.Duration(DefaultTimeout)
	}
	if h.RenderTimeout == 0 {
		h.RenderTimeout = caddy.Duration(DefaultRenderTimeout)
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	if h.Delivery == "" {
		h.Delivery = "queued"
	}
	return h.provisionAuth()
}

// identify sets the id, which is that of the template and of what else tells handlers apart.
func (h *Webhook) identify(more ...any) {
	identity := sha256.Sum256(fmt.Appendf(nil, "%q %q", h.Template, more))
	h.id = hex.EncodeToString(identity[:6])
}

// provisionTemplate loads the template, and has the app watch it.
func (h *Webhook) provisionTemplate() error {
	if h.Template == "" {
		return errNoTemplate(h.kind.directive())
	}
	path, err := directive.Expand("template", h.Template)
	if err != nil {
		return err
	}
	imports, err := directive.ExpandAll("imports", h.Imports)
	if err != nil {
		return err
	}
	h.template, err = render.Load(path, render.Options{
		Imports:  imports,
		LastGood: lastGood(),
		Timeout:  time.Duration(h.RenderTimeout),
		Memory:   int(h.app.RenderMemory),
		Poll:     templatePoll,
	})
	if err != nil {
		return fmt.Errorf("loading template: %w", err)
	}
	if err := h.template.Status().Err; err != nil {
		h.templateBroken(err)
	}
	h.app.addHook(h)
	return nil
}

func errNoTemplate(directive string) error {
	return fmt.Errorf("template is missing: name the Jsonnet file, for example %s welcome.jsonnet", directive)
}

// validate checks what does not depend on the world outside.
func (h *Webhook) validate() error {
	if len(h.Auth) == 0 {
		return errors.New("auth is missing: name what lets Ory in, for example " +
			`auth header Authorization "Bearer {env.HOOK_KEY}", or auth off`)
	}
	if err := checkAuth(h.Auth); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	if err := checkDelivery(h.Delivery); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	if h.Delivery == "queued" && h.app.outboxKey == "" {
		return errOutboxOff
	}
	for option, negative := range map[string]bool{
		"timeout": h.Timeout < 0, "render_timeout": h.RenderTimeout < 0, "max_body": h.MaxBody < 0,
	} {
		if negative {
			return fmt.Errorf("%s must be more than 0", option)
		}
	}
	return nil
}

func checkDelivery(delivery string) error {
	switch delivery {
	case "queued", "sync":
		return nil
	default:
		return fmt.Errorf("%q is neither queued nor sync", delivery)
	}
}

// ServeHTTP answers a hook. It returns no error: Caddy would log the request with it, secrets included.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	noteProvider(r)
	call := &call{hook: h, request: r, writer: w, reference: newReference(), started: time.Now()}
	answer := call.handle()
	answer.stored, answer.problem = h.storesResult, h.kind.errorFor(answer.problem)
	err := answer.write(w, r, call.reference)
	call.log(answer, err)
	call.setPlaceholders(answer)
	return nil
}

// watch keeps the template up to date until ctx is done.
func (h *Webhook) watch(ctx context.Context) {
	h.retryCourier(ctx) // the configuration may have brought another version
	h.template.Watch(ctx, func(err error) {
		if err != nil {
			h.app.metrics.templateFailures.Inc()
			h.templateBroken(err)
			return
		}
		h.logger.Info("template changed",
			zap.String("template", h.Template), zap.String("version", h.template.Status().Version))
		h.retryCourier(ctx)
	})
}

// retryCourier retries the mails of Ory's courier that the template could not render: a code soon expires.
func (h *Webhook) retryCourier(ctx context.Context) {
	if h.app.outbox == nil {
		return
	}
	filter := outbox.Filter{States: []outbox.State{outbox.Unrendered}, Template: h.Template, Private: true}
	if _, err := h.app.outbox.RetryAll(ctx, filter, func(outbox.Progress) {}); err != nil && ctx.Err() == nil {
		h.logger.Warn("cannot retry the mails that the template could not render",
			zap.String("template", h.Template), zap.Error(err))
	}
}

func (h *Webhook) templateBroken(err error) {
	h.app.events.emit(eventTemplateFailed, map[string]any{
		"template": h.Template, "reason": Explain(err, h.app.LogRecipients),
	})
	h.logger.Error("template is broken, the last good one stays in force",
		zap.String("template", h.Template), zap.Error(err))
}

// templatePoll replaces how often templates are looked at, in tests.
var templatePoll time.Duration

// newReference returns what ties an answer to its log line.
func newReference() string {
	var reference [6]byte
	_, _ = rand.Read(reference[:]) // never fails
	return hex.EncodeToString(reference[:])
}
