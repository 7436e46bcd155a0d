package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func init() {
	caddy.RegisterModule(new(Audience))
}

// Audience answers web hooks of Ory as mailchimp_hook does, and keeps an audience of Mailchimp up to date: its template
// returns a person's data for the audience instead of a mail. People are subscribed only if the template asks for it,
// and those who unsubscribed stay unsubscribed.
//
// All strings take global placeholders such as {env.MAILCHIMP_API_KEY} or {file./run/secrets/key}, which are replaced
// when the configuration is loaded. Files of api_key and auth are followed: a change takes effect within seconds.
type Audience struct {
	// The options template, auth, delivery, timeout, render_timeout, max_body and imports.
	Webhook

	// The API key of Mailchimp, which is not that of Mandrill. Required.
	APIKey string `json:"api_key,omitempty"`

	// The audience's id. Required.
	List string `json:"list,omitempty"`

	// Where the Mailchimp Marketing API is. Default: the data centre that the key's end names.
	APIBase string `json:"api_base,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Audience) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mailchimp_audience",
		New: func() caddy.Module { return new(Audience) },
	}
}

// Provision sets up the handler.
func (h *Audience) Provision(ctx caddy.Context) error {
	if err := h.provision(ctx); err != nil {
		return err
	}
	if err := h.provisionList(); err != nil {
		return err
	}
	return h.provisionTemplate()
}

func (h *Audience) checkRequired() error {
	switch {
	case h.List == "":
		return errors.New("list is missing: name the audience's id, for example list a1b2c3d4e5")
	case h.APIKey == "":
		return errors.New("api_key is missing: name a key of Mailchimp, for example " +
			"api_key {env.MAILCHIMP_API_KEY}. The global option's key is one of Mandrill")
	}
	return nil
}

func (h *Audience) provisionList() error {
	if err := h.checkRequired(); err != nil {
		return err
	}
	list, err := directive.Expand("list", h.List)
	if err != nil {
		return err
	}
	if err := audience.CheckList(list); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	key, err := newSecret("api_key", h.APIKey)
	if err != nil {
		return err
	}
	base := ""
	if h.APIBase != "" {
		if base, err = directive.Expand("api_base", h.APIBase); err != nil {
			return err
		}
	}
	h.identify(list)
	account, err := h.app.registerList(list, key, base)
	if err != nil {
		return err
	}
	h.kind = &changes{app: h.app, account: account, timeout: time.Duration(h.Timeout)}
	return nil
}

// Validate checks what doesn't depend on the world outside.
func (h *Audience) Validate() error { return h.validate() }

// changes is what mailchimp_audience sends.
type changes struct {
	app     *App
	account *listAccount
	timeout time.Duration
}

func (*changes) directive() string { return "mailchimp_audience" }

// scope returns the list: one template may keep several.
func (c *changes) scope() []string { return []string{c.sender()} }

func (c *changes) sender() string { return listSender(c.account.list) }

func (c *changes) senders() []string { return []string{c.sender()} }

func (c *changes) sends(sender string) bool { return sender == c.sender() }

func (c *changes) parse(returned map[string]any) (outgoing, error) {
	parsed, err := audience.NewChange(returned)
	if err != nil {
		return nil, err
	}
	return change{parsed, c.app, c.account, c.timeout}, nil
}

// changeTexts are what a person may see of a change that failed.
var changeTexts = map[*ory.Error]string{
	ory.ErrTemplate:    "Your subscription could not be changed.",
	ory.ErrMessage:     "Your subscription could not be changed.",
	ory.ErrRecipient:   "This address can't be subscribed. Please check it or use another one.",
	ory.ErrRefused:     "Your subscription could not be changed.",
	ory.ErrStore:       "Your subscription can't be changed right now. Please try again later.",
	ory.ErrUnavailable: "Your subscription can't be changed right now. Please try again later.",
	ory.ErrEmpty:       "Your subscription can't be changed right now. Please try again later.",
}

// errorFor returns the error with a text about a subscription: nobody has asked for an e-mail.
func (*changes) errorFor(problem *ory.Error) *ory.Error {
	text, ok := changeTexts[problem]
	if !ok {
		return problem
	}
	worded := *problem
	worded.Text = text
	return &worded
}

// ordered returns true: a person may say yes, no, and yes again.
func (*changes) ordered() bool { return true }

// Interface guards
var (
	_ caddy.Provisioner           = (*Audience)(nil)
	_ caddy.Validator             = (*Audience)(nil)
	_ caddyhttp.MiddlewareHandler = (*Audience)(nil)
	_ kind                        = (*changes)(nil)
)
