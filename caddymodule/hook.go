package caddymodule

import (
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func init() {
	caddy.RegisterModule(new(Hook))
}

// Hook answers web hooks of Ory (Ory Network, or a self-hosted Ory Kratos): it authenticates the
// call, evaluates a Jsonnet template over the ctx that Ory sent, and sends the mail that comes out
// through Mailchimp Transactional (Mandrill). The request ends here.
//
// All strings take global placeholders such as {env.MANDRILL_API_KEY} or {file./run/secrets/key},
// which are replaced when the configuration is loaded. Files of api_key and auth are followed: a change takes effect
// within seconds.
type Hook struct {
	// The options template, auth, delivery, timeout, render_timeout, max_body and imports.
	Webhook

	// The Mandrill API key. Default: the app's.
	APIKey string `json:"api_key,omitempty"`

	// The domains that mail may come from, subdomains one by one. Default: the app's. Required.
	SenderDomains []string `json:"sender_domains,omitempty"`

	// The sender of messages that name none.
	From *From `json:"from,omitempty"`

	// Answers with what Mandrill said of each recipient, for Ory to keep in the identity's metadata_admin, which
	// is replaced as a whole. For hooks of registration with response.parse; needs delivery sync.
	StoreResult bool `json:"store_result,omitempty"`
}

// From is the sender of messages that name none.
type From struct {
	// The address. Its domain must be a sender domain.
	Email string `json:"email,omitempty"`
	// The name that stands before the address.
	Name string `json:"name,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Hook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mailchimp_hook",
		New: func() caddy.Module { return new(Hook) },
	}
}

// Provision sets up the handler.
func (h *Hook) Provision(ctx caddy.Context) error {
	if err := h.provision(ctx); err != nil {
		return err
	}
	if err := h.provisionSender(); err != nil {
		return err
	}
	h.storesResult = h.StoreResult
	return h.provisionTemplate()
}

func (h *Hook) provisionSender() error {
	domains, err := directive.ExpandAll("sender_domain", h.SenderDomains)
	if err != nil {
		return err
	}
	if len(domains) == 0 {
		domains = h.app.domains
	}
	if len(domains) == 0 {
		return errors.New("sender_domain is missing: name it in the block of mailchimp_hook " +
			"or in the global option mailchimp, for example sender_domain example.com")
	}
	from, err := h.expandFrom()
	if err != nil {
		return err
	}
	policy, err := mandrill.NewPolicy(domains, from.Email, from.Name)
	if err != nil {
		return err
	}
	h.identify(domains, from)
	key := h.app.apiKey
	if h.APIKey != "" {
		if key, err = newSecret("api_key", h.APIKey); err != nil {
			return err
		}
	}
	if key == nil {
		return ErrNoKey
	}
	if err := h.app.registerDomains(domains, key); err != nil {
		return err
	}
	h.kind = &mails{app: h.app, policy: policy, from: from.Email, logger: h.logger, template: h.Template}
	return nil
}

// expandFrom returns the sender of messages that name none, which is empty if there is none.
func (h *Hook) expandFrom() (From, error) {
	var from From
	if h.From == nil {
		return from, nil
	}
	var err error
	if from.Email, err = directive.Expand("from", h.From.Email); err != nil {
		return from, err
	}
	if h.From.Name != "" {
		from.Name, err = directive.Expand("from", h.From.Name)
	}
	return from, err
}

// Validate checks what doesn't depend on the world outside.
func (h *Hook) Validate() error {
	if err := h.validate(); err != nil {
		return err
	}
	return h.checkStoreResult()
}

func (h *Hook) checkStoreResult() error {
	if h.StoreResult && h.Delivery != "sync" {
		return errors.New("store_result: the result is known in time only with delivery sync: " +
			"add that line, or remove this one")
	}
	return nil
}

// mails is what mailchimp_hook sends.
type mails struct {
	app    *App
	policy *mandrill.Policy
	// from is the address of the sender of messages that name none. It may be empty.
	from string

	logger      *zap.Logger
	template    string
	warnedOfKey sync.Once
}

func (*mails) directive() string { return "mailchimp_hook" }

// scope returns nothing: who sends a mail does not make it another one.
func (*mails) scope() []string { return nil }

func (m *mails) sender() string { return m.policy.Domain() }

func (m *mails) senders() []string { return m.policy.Domains() }

func (m *mails) sends(sender string) bool { return m.policy.Allows(sender) }

func (m *mails) parse(returned map[string]any) (outgoing, error) {
	request, err := mandrill.NewRequest(returned, m.policy)
	if err != nil {
		return nil, err
	}
	if request.HadKey() {
		m.warnedOfKey.Do(func() {
			m.logger.Warn("the template names a key, which is ignored: remove it, api_key of the configuration counts",
				zap.String("template", m.template))
		})
	}
	return mail{request, m.app, m.app.ClientFor(request.SenderDomain()), m.template}, nil
}

// errorFor returns the error unchanged: the default texts are about mail.
func (*mails) errorFor(problem *ory.Error) *ory.Error { return problem }

// ordered returns false: mails don't wait for each other, and an equal one within minutes is a repeat.
func (*mails) ordered() bool { return false }

// Interface guards
var (
	_ caddy.Provisioner           = (*Hook)(nil)
	_ caddy.Validator             = (*Hook)(nil)
	_ caddyhttp.MiddlewareHandler = (*Hook)(nil)
	_ kind                        = (*mails)(nil)
)
