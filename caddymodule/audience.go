package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func init() {
	caddy.RegisterModule(new(Audience))
	registerReceiver("mailchimp_audience", func(d *caddyfile.Dispenser) (caddyhttp.MiddlewareHandler, *receiver, error) {
		handler := new(Audience)
		return handler, &handler.receiver, handler.UnmarshalCaddyfile(d)
	})
}

// Audience answers web hooks of Ory as mailchimp_hook does, and keeps an audience of Mailchimp in step with the
// people: what its template returns is not a mail but what the audience is to know of a person. Nobody is subscribed
// unless the template says so, and who unsubscribed stays so.
//
// All strings take global placeholders such as {env.MAILCHIMP_API_KEY} or {file./run/secrets/key}, which are replaced
// when the configuration is loaded.
type Audience struct {
	receiver

	// The API key of Mailchimp, which is not that of Mandrill. Required.
	APIKey string `json:"api_key,omitempty"`

	// The audience's id. Required.
	List string `json:"list,omitempty"`

	// Where the Mailchimp Marketing API is. Default: the data centre that the key's end names.
	APIBase string `json:"api_base,omitempty"`

	account *listAccount
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
	return h.provision(ctx, h, h.provisionList)
}

func (h *Audience) checkRequired() error {
	switch {
	case h.List == "":
		return errors.New("list is missing: name the audience's id, for example list a1b2c3d4e5")
	case h.APIKey == "":
		return errors.New("api_key is missing: name a key of Mailchimp, for example api_key {env.MAILCHIMP_API_KEY}. The global option's key is one of Mandrill")
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
	key, err := directive.Expand("api_key", h.APIKey)
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
	h.account, err = h.app.registerList(list, key, base)
	return err
}

// Validate checks what doesn't depend on the world outside.
func (h *Audience) Validate() error { return h.validate() }

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	mailchimp_audience [<matcher>] [<template>] {
//	    template       <file>
//	    api_key        <key>
//	    list           <id>
//	    api_base       <url>
//	    auth           header <name> <value>
//	    auth           cookie <name> <value>
//	    auth           basic <user> <password>
//	    auth           off
//	    delivery       queued|sync
//	    timeout        <duration>
//	    render_timeout <duration>
//	    max_body       <size>
//	    imports        <dir>...
//	}
func (h *Audience) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := h.unmarshalCaddyfile(d, directive.Options{
		"api_key":  directive.Text("api_key <key>", &h.APIKey),
		"list":     directive.Text("list <id>", &h.List),
		"api_base": directive.Text("api_base <url>", &h.APIBase),
	})
	if err != nil {
		return err
	}
	if err := h.checkRequired(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// directive names the handler.
func (*Audience) directive() string { return "mailchimp_audience" }

// sender is the account of what can't be rendered.
func (h *Audience) sender() string { return listSender(h.account.list) }

// sends tells whether entries of a sender may come from this handler.
func (h *Audience) sends(sender string) bool { return sender == h.sender() }

// parse checks what the template returned.
func (h *Audience) parse(returned map[string]any) (parcel, error) {
	parsed, err := audience.NewChange(returned)
	if err != nil {
		return nil, err
	}
	return change{parsed, h.app, h.account, time.Duration(h.Timeout)}, nil
}

// words are what a person may see of a change that failed.
var words = map[*ory.Error]string{
	ory.ErrTemplate:    "Your subscription could not be changed.",
	ory.ErrMessage:     "Your subscription could not be changed.",
	ory.ErrRecipient:   "This address can't be subscribed. Please check it or use another one.",
	ory.ErrRefused:     "Your subscription could not be changed.",
	ory.ErrStore:       "Your subscription can't be changed right now. Please try again later.",
	ory.ErrUnavailable: "Your subscription can't be changed right now. Please try again later.",
}

// word gives an error the words for a subscription: nobody has asked for an e-mail.
func (*Audience) word(problem *ory.Error) *ory.Error {
	text, ok := words[problem]
	if !ok {
		return problem
	}
	worded := *problem
	worded.Text = text
	return &worded
}

// ordered tells that a person may say yes, no, and yes again.
func (*Audience) ordered() bool { return true }

// Interface guards
var (
	_ caddy.Provisioner           = (*Audience)(nil)
	_ caddy.Validator             = (*Audience)(nil)
	_ caddyhttp.MiddlewareHandler = (*Audience)(nil)
	_ caddyfile.Unmarshaler       = (*Audience)(nil)
)
