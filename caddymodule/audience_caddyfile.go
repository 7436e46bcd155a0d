package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

func init() {
	httpcaddyfile.RegisterDirective("mailchimp_audience", parseAudience)
	httpcaddyfile.RegisterDirectiveOrder("mailchimp_audience", httpcaddyfile.Before, "respond")
}

func parseAudience(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseWebhook(h, new(Audience))
}

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

// Interface guards
var _ webhookHandler = (*Audience)(nil)
