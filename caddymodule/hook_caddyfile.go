package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

func init() {
	httpcaddyfile.RegisterDirective("mailchimp_hook", parseHook)
	httpcaddyfile.RegisterDirectiveOrder("mailchimp_hook", httpcaddyfile.Before, "respond")
}

func parseHook(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseWebhook(h, new(Hook))
}

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	mailchimp_hook [<matcher>] [<template>] {
//	    template       <file>
//	    api_key        <key>
//	    sender_domain  <domain>...
//	    from           <email> [<name>]
//	    auth           header <name> <value>
//	    auth           cookie <name> <value>
//	    auth           basic <user> <password>
//	    auth           off
//	    delivery       queued|sync
//	    timeout        <duration>
//	    render_timeout <duration>
//	    max_body       <size>
//	    imports        <dir>...
//	    store_result
//	}
func (h *Hook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := h.unmarshalCaddyfile(d, directive.Options{
		"api_key":       directive.Text("api_key <key>", &h.APIKey),
		"sender_domain": directive.Texts("sender_domain <domain>...", &h.SenderDomains),
		"from": {Usage: "from <email> [<name>]", Min: 1, Max: 2, Set: func(args []string) error {
			h.From = &From{Email: args[0]}
			if len(args) == 2 {
				h.From.Name = args[1]
			}
			return directive.NonEmpty(args)
		}},
		"store_result": directive.Flag("store_result", &h.StoreResult),
	})
	if err != nil {
		return err
	}
	if err := h.checkStoreResult(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Interface guards
var _ webhookHandler = (*Hook)(nil)
