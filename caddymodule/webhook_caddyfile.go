package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

// webhookHandler is a handler whose first argument, after the matcher, is a template.
type webhookHandler interface {
	caddyhttp.MiddlewareHandler
	caddyfile.Unmarshaler
	webhook() *Webhook
}

func (h *Webhook) webhook() *Webhook { return h }

// parseWebhook does what httpcaddyfile.RegisterHandlerDirective does, and finds a template that was taken for a
// matcher.
func parseWebhook(h httpcaddyfile.Helper, handler webhookHandler) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name
	name := h.Val()
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
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	h.Reset()
	h.Next()
	switch common := handler.webhook(); {
	case common.Template == "" && path != "":
		return nil, h.Errf("template is missing: %s is a path matcher here, because it begins with a slash. "+
			"If it is the template, write '%s * %[1]s', or 'template %[1]s' in the block", path, name)
	case common.Template == "":
		return nil, h.Err(errNoTemplate(name).Error())
	case common.Delivery != "sync" && outboxIsOff(h.Option("mailchimp")):
		return nil, h.Err(errOutboxOff.Error())
	}
	return h.NewRoute(matcher, handler), nil
}

// outboxIsOff looks into the global option, which is parsed before the sites.
func outboxIsOff(option any) bool {
	global, ok := option.(httpcaddyfile.App)
	app := new(App)
	return ok && json.Unmarshal(global.Value, app) == nil && app.Outbox != nil && app.Outbox.Kind == "off"
}

// unmarshalCaddyfile reads the template, and a block with the lines of all webhooks and the handler's own.
func (h *Webhook) unmarshalCaddyfile(d *caddyfile.Dispenser, own directive.Options) error {
	d.Next() // consume directive name
	name := d.Val()
	var seen []string
	if d.NextArg() {
		if h.Template = d.Val(); h.Template == "" {
			return d.Err("the template is empty")
		}
		seen = append(seen, "template")
	}
	if d.NextArg() {
		return d.Errf("%s takes one template: its options stand in a block", name)
	}
	lines := directive.Options{
		"template": directive.Text("template <file>", &h.Template),
		"auth": {
			Usage: "auth header|cookie <name> <value>, auth basic <user> <password>, or auth off",
			Min:   1, Max: 3, List: true, Set: h.setAuth,
		},
		"delivery": {Usage: "delivery queued|sync", Min: 1, Max: 1, Set: func(args []string) error {
			h.Delivery = args[0]
			return checkDelivery(args[0])
		}},
		"timeout":        directive.Duration("timeout <duration>", &h.Timeout),
		"render_timeout": directive.Duration("render_timeout <duration>", &h.RenderTimeout),
		"max_body":       directive.Size("max_body <size>", &h.MaxBody),
		"imports":        directive.Texts("imports <dir>...", &h.Imports),
	}
	maps.Copy(lines, own)
	return lines.Unmarshal(d, seen...)
}

func (h *Webhook) setAuth(args []string) error {
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
