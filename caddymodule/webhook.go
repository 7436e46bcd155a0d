package caddymodule

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// What applies if the configuration does not say otherwise.
const (
	DefaultTimeout       = 10 * time.Second
	DefaultRenderTimeout = time.Second
	defaultMaxBody       = 1_000_000
)

// receiver is what the handlers of Ory's hooks have in common: all but what a template's result is, and where it goes.
type receiver struct {
	// The Jsonnet file that evaluates to function(ctx). It is watched: a change takes effect without
	// a reload, and a broken one leaves the last good one in force. Required.
	Template string `json:"template,omitempty"`

	// What lets a call in: any one of these. Required; {"type": "off"} lets everybody in.
	Auth []Auth `json:"auth,omitempty"`

	// When the mail is sent: "queued" stores it, answers Ory and sends it then; "sync" sends it before
	// Ory is answered. Default: queued.
	Delivery string `json:"delivery,omitempty"`

	// How long one call of Mailchimp may take; in sync, all calls of an audience's change together. Default: 10s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long one evaluation of the template may take. Default: 1s.
	RenderTimeout caddy.Duration `json:"render_timeout,omitempty"`

	// The largest body of a hook, in bytes. Default: 1000000.
	MaxBody int64 `json:"max_body,omitempty"`

	// Folders that the template may import from, beside its own.
	Imports []string `json:"imports,omitempty"`

	logger   *zap.Logger
	app      *App
	target   target
	reader   ory.Reader
	template *render.Template
	// id tells hooks apart that share a template.
	id     string
	warned warnings
	// storesResult tells that Ory keeps in the identity what became of the call.
	storesResult bool
}

// target is what a receiver's template makes, and for whom.
type target interface {
	// directive names the handler.
	directive() string
	// sender names the account of what can't be rendered.
	sender() string
	// sends tells whether entries of a sender may come from this handler.
	sends(sender string) bool
	// parse checks what the template returned.
	parse(returned map[string]any) (parcel, error)
	// word gives an error the words for what is sent.
	word(problem *ory.Error) *ory.Error
	// ordered tells that what is sent says how things are with a person: order counts, and an equal body may say it anew.
	ordered() bool
}

// Auth is one way for a call to prove itself.
type Auth struct {
	// "header", "cookie", "basic" or "off".
	Type string `json:"type,omitempty"`
	// The header's or the cookie's name, or the user of basic authentication.
	Name string `json:"name,omitempty"`
	// The header's or the cookie's value, or the password of basic authentication.
	Value string `json:"value,omitempty"`
}

// provision sets up what handlers have in common; provisionTarget sets up the rest.
func (h *receiver) provision(ctx caddy.Context, to target, provisionTarget func() error) error {
	h.logger, h.target = ctx.Logger(), to
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
	if err := h.provisionReader(); err != nil {
		return err
	}
	if err := provisionTarget(); err != nil {
		return err
	}
	if err := h.provisionTemplate(); err != nil {
		return err
	}
	h.app.add(h)
	return nil
}

// identify makes the id of the template and of what else tells handlers apart.
func (h *receiver) identify(more ...any) {
	identity := sha256.Sum256(fmt.Appendf(nil, "%q %q", h.Template, more))
	h.id = hex.EncodeToString(identity[:6])
}

func (h *receiver) provisionReader() error {
	h.reader.MaxBody = h.MaxBody
	for _, auth := range h.Auth {
		if auth.Type == "off" {
			h.reader.Auth.Off()
			h.logger.Warn("auth is off: anybody who can reach this hook can use it in your name")
			continue
		}
		if !slices.Contains([]string{"header", "cookie", "basic"}, auth.Type) {
			return fmt.Errorf("auth: the type %q is none of header, cookie, basic and off", auth.Type)
		}
		option := "auth " + auth.Type
		name, err := directive.Expand(option, auth.Name)
		if err != nil {
			return err
		}
		value, err := directive.Expand(option, auth.Value)
		if err != nil {
			return err
		}
		switch auth.Type {
		case "header":
			err = h.reader.Auth.Header(name, value)
		case "cookie":
			err = h.reader.Auth.Cookie(name, value)
		case "basic":
			err = h.reader.Auth.Basic(name, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
	}
	return nil
}

func (h *receiver) provisionTemplate() error {
	if h.Template == "" {
		return errNoTemplate(h.target.directive())
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
	})
	if err != nil {
		return fmt.Errorf("loading template: %w", err)
	}
	if err := h.template.Status().Err; err != nil {
		h.templateBroken(err)
	}
	return nil
}

func errNoTemplate(directive string) error {
	return fmt.Errorf("template is missing: name the Jsonnet file, for example %s welcome.jsonnet", directive)
}

// validate checks what doesn't depend on the world outside.
func (h *receiver) validate() error {
	if len(h.Auth) == 0 {
		return errors.New("auth is missing: name what lets Ory in, for example auth header X-Hook-Key {env.HOOK_KEY}, or auth off")
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

func checkAuth(auths []Auth) error {
	if len(auths) > 1 && slices.ContainsFunc(auths, func(a Auth) bool { return a.Type == "off" }) {
		return errors.New("off contradicts the other auth lines: remove it or them")
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
func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	noteProvider(r)
	call := &call{hook: h, request: r, reference: newReference(), started: time.Now()}
	answer := call.serve()
	answer.stored, answer.problem = h.storesResult, h.target.word(answer.problem)
	err := answer.write(w, r, call.reference)
	call.log(answer, err)
	return nil
}

// watch keeps the template up to date until ctx is done.
func (h *receiver) watch(ctx context.Context) {
	h.template.Watch(ctx, func(err error) {
		if err != nil {
			h.app.metrics.templateFailures.Inc()
			h.templateBroken(err)
			return
		}
		h.logger.Info("template changed", zap.String("template", h.Template), zap.String("version", h.template.Status().Version))
	})
}

func (h *receiver) templateBroken(err error) {
	h.app.emit(eventTemplateFailed, map[string]any{"template": h.Template, "reason": Explain(err, h.app.LogRecipients)})
	h.logger.Error("template is broken, the last good one stays in force", zap.String("template", h.Template), zap.Error(err))
}

// key returns the idempotency key under which a repeat of the call is recognised, and whether it is that of the body, which
// is soon forgotten. It is scoped by handler, host and path, so that two hooks never share one.
func (c *call) key(hook *ory.Hook, given string) (key string, ofBody bool) {
	r := c.request
	source := "template"
	if given == "" {
		source, given = "header", r.Header.Get("Idempotency-Key")
	}
	if given == "" {
		source, given = "trigger", r.Header.Get("Ory-Webhook-Trigger-Id")
	}
	if given == "" {
		source, given, ofBody = "body", hook.Body, true
	}
	var scoped []byte
	for _, part := range []string{c.hook.target.directive(), strings.ToLower(r.Host), c.path(), source, given} {
		scoped = strconv.AppendInt(scoped, int64(len(part)), 10)
		scoped = append(append(append(scoped, ':'), part...), ',')
	}
	digest := sha256.Sum256(scoped)
	return hex.EncodeToString(digest[:]), ofBody
}

// path is that of the request as it came: routes may have rewritten it.
func (c *call) path() string { return pathOf(c.request) }

func pathOf(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.Path
	}
	return r.URL.Path
}

// newReference returns what ties an answer to its log line.
func newReference() string {
	var reference [6]byte
	_, _ = rand.Read(reference[:]) // never fails
	return hex.EncodeToString(reference[:])
}
