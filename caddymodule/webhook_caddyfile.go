package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// registerReceiver registers a handler whose first argument, after the matcher, is a template. It does what
// httpcaddyfile.RegisterHandlerDirective does, and looks for a template that was taken for a matcher.
func registerReceiver(directive string, parse func(*caddyfile.Dispenser) (caddyhttp.MiddlewareHandler, *receiver, error)) {
	httpcaddyfile.RegisterDirective(directive, func(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
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
		handler, common, err := parse(h.Dispenser)
		if err != nil {
			return nil, err
		}
		h.Reset()
		h.Next()
		switch {
		case common.Template == "" && path != "":
			return nil, h.Errf("template is missing: %s is a path matcher here, because it begins with a slash. If it is the template, write '%s * %[1]s', or 'template %[1]s' in the block", path, directive)
		case common.Template == "":
			return nil, h.Err(errNoTemplate(directive).Error())
		case common.Delivery != "sync" && outboxIsOff(h.Option("mailchimp")):
			return nil, h.Err(errOutboxOff.Error())
		}
		return h.NewRoute(matcher, handler), nil
	})
	httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "respond")
}

// outboxIsOff looks into the global option, which is parsed before the sites.
func outboxIsOff(option any) bool {
	global, ok := option.(httpcaddyfile.App)
	app := new(App)
	return ok && json.Unmarshal(global.Value, app) == nil && app.Outbox != nil && app.Outbox.Kind == "off"
}

// unmarshalCaddyfile reads the template, and a block with the lines that handlers have in common and those of this one.
func (h *receiver) unmarshalCaddyfile(d *caddyfile.Dispenser, own options) error {
	d.Next() // consume directive name
	directive := d.Val()
	var seen []string
	if d.NextArg() {
		if h.Template = d.Val(); h.Template == "" {
			return d.Err("the template is empty")
		}
		seen = append(seen, "template")
	}
	if d.NextArg() {
		return d.Errf("%s takes one template: its options stand in a block", directive)
	}
	lines := options{
		"template": text("template <file>", &h.Template),
		"auth":     {usage: "auth header|cookie <name> <value>, auth basic <user> <password>, or auth off", min: 1, max: 3, list: true, set: h.setAuth},
		"delivery": {usage: "delivery queued|sync", min: 1, max: 1, set: func(args []string) error {
			h.Delivery = args[0]
			return checkDelivery(args[0])
		}},
		"timeout":        duration("timeout <duration>", &h.Timeout),
		"render_timeout": duration("render_timeout <duration>", &h.RenderTimeout),
		"max_body":       size("max_body <size>", &h.MaxBody),
		"imports":        texts("imports <dir>...", &h.Imports),
	}
	for name, line := range own {
		lines[name] = line
	}
	return lines.unmarshal(d, seen...)
}

func (h *receiver) setAuth(args []string) error {
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
