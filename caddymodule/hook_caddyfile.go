package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("mailchimp_hook", parseHook)
	httpcaddyfile.RegisterDirectiveOrder("mailchimp_hook", httpcaddyfile.Before, "respond")
}

// parseHook is what httpcaddyfile.RegisterHandlerDirective does, and looks for a template that was
// taken for a matcher.
func parseHook(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name
	var path string
	if h.NextArg() && strings.HasPrefix(h.Val(), "/") {
		path = h.Val()
	}
	h.Reset()
	h.Next()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	hook := new(Hook)
	if err := hook.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	h.Reset()
	h.Next()
	switch {
	case hook.Template == "" && path != "":
		return nil, h.Errf("template is missing: %s is a path matcher here, because it begins with a slash. If it is the template, write 'mailchimp_hook * %[1]s', or 'template %[1]s' in the block", path)
	case hook.Template == "":
		return nil, h.Err(errNoTemplate.Error())
	case hook.Delivery != "sync" && outboxIsOff(h.Option("mailchimp")):
		return nil, h.Err(errOutboxOff.Error())
	}
	return h.NewRoute(matcher, hook), nil
}

// outboxIsOff looks into the global option, which is parsed before the sites.
func outboxIsOff(option any) bool {
	global, ok := option.(httpcaddyfile.App)
	app := new(App)
	return ok && json.Unmarshal(global.Value, app) == nil && app.Outbox != nil && app.Outbox.Kind == "off"
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
	d.Next() // consume directive name
	var seen []string
	if d.NextArg() {
		if h.Template = d.Val(); h.Template == "" {
			return d.Err("the template is empty")
		}
		seen = append(seen, "template")
	}
	if d.NextArg() {
		return d.Err("mailchimp_hook takes one template: its options stand in a block")
	}
	err := options{
		"template":      text("template <file>", &h.Template),
		"api_key":       text("api_key <key>", &h.APIKey),
		"sender_domain": texts("sender_domain <domain>...", &h.SenderDomains),
		"from": {usage: "from <email> [<name>]", min: 1, max: 2, set: func(args []string) error {
			h.From = &From{Email: args[0]}
			if len(args) == 2 {
				h.From.Name = args[1]
			}
			return nonEmpty(args)
		}},
		"auth": {usage: "auth header|cookie <name> <value>, auth basic <user> <password>, or auth off", min: 1, max: 3, list: true, set: h.setAuth},
		"delivery": {usage: "delivery queued|sync", min: 1, max: 1, set: func(args []string) error {
			h.Delivery = args[0]
			return checkDelivery(args[0])
		}},
		"timeout":        duration("timeout <duration>", &h.Timeout),
		"render_timeout": duration("render_timeout <duration>", &h.RenderTimeout),
		"max_body":       size("max_body <size>", &h.MaxBody),
		"imports":        texts("imports <dir>...", &h.Imports),
		"store_result": {usage: "store_result", set: func([]string) error {
			h.StoreResult = true
			return nil
		}},
	}.unmarshal(d, seen...)
	if err != nil {
		return err
	}
	if err := h.checkStoreResult(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *Hook) setAuth(args []string) error {
	auth := Auth{Type: args[0]}
	switch auth.Type {
	case "header", "cookie":
		if len(args) != 3 {
			return fmt.Errorf("expected: auth %s <name> <value>", auth.Type)
		}
		auth.Name, auth.Value = args[1], args[2]
	case "basic":
		if len(args) != 3 {
			return errors.New("expected: auth basic <user> <password>")
		}
		auth.Name, auth.Value = args[1], args[2]
	case "off":
		if len(args) != 1 {
			return errors.New("expected: auth off")
		}
	default:
		return errors.New("the first argument is header, cookie, basic or off")
	}
	h.Auth = append(h.Auth, auth)
	return checkAuth(h.Auth)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Hook)(nil)
