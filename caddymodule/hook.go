package caddymodule

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

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
// which are replaced when the configuration is loaded.
type Hook struct {
	receiver

	// The Mandrill API key. Default: the app's.
	APIKey string `json:"api_key,omitempty"`

	// The domains that mail may come from, subdomains one by one. Default: the app's. Required.
	SenderDomains []string `json:"sender_domains,omitempty"`

	// The sender of messages that name none.
	From *From `json:"from,omitempty"`

	// Answers with what Mandrill said of each recipient, for Ory to keep in the identity's metadata_admin, which
	// is replaced as a whole. For hooks of registration with response.parse; needs delivery sync.
	StoreResult bool `json:"store_result,omitempty"`

	policy *mandrill.Policy
	client *mandrill.Client
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
	h.storesResult = h.StoreResult
	return h.provision(ctx, h, h.provisionSender)
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
		return errors.New("sender_domain is missing: name it in the block of mailchimp_hook or in the global option mailchimp, for example sender_domain example.com")
	}
	var from From
	if h.From != nil {
		if from.Email, err = directive.Expand("from", h.From.Email); err != nil {
			return err
		}
		if h.From.Name != "" {
			if from.Name, err = directive.Expand("from", h.From.Name); err != nil {
				return err
			}
		}
	}
	if h.policy, err = mandrill.NewPolicy(domains, from.Email, from.Name); err != nil {
		return err
	}
	h.identify(domains, from)
	key := h.app.key
	if h.APIKey != "" {
		if key, err = directive.Expand("api_key", h.APIKey); err != nil {
			return err
		}
	}
	if key == "" {
		return ErrNoKey
	}
	h.client, err = h.app.registerDomains(domains, key)
	return err
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
		return errors.New("store_result: the result is known in time only with delivery sync: add that line, or remove this one")
	}
	return nil
}

// directive names the handler.
func (*Hook) directive() string { return "mailchimp_hook" }

// sender is the account of what can't be rendered.
func (h *Hook) sender() string { return h.policy.Domain() }

// sends tells whether entries of a sender may come from this hook.
func (h *Hook) sends(sender string) bool { return h.policy.Allows(sender) }

// parse checks what the template returned.
func (h *Hook) parse(returned map[string]any) (parcel, error) {
	request, err := mandrill.NewRequest(returned, h.policy)
	if err != nil {
		return nil, err
	}
	if request.HadKey() {
		h.warnOfKey()
	}
	return mail{request, h.app, h.client}, nil
}

// word leaves the words as they are: they are those of mails.
func (*Hook) word(problem *ory.Error) *ory.Error { return problem }

// ordered is for audiences: mails don't wait for each other, and an equal one within minutes is a repeat.
func (*Hook) ordered() bool { return false }

// Interface guards
var (
	_ caddy.Provisioner           = (*Hook)(nil)
	_ caddy.Validator             = (*Hook)(nil)
	_ caddyhttp.MiddlewareHandler = (*Hook)(nil)
)
