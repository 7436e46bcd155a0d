package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("mailchimp_events", parseEvents)
	httpcaddyfile.RegisterDirectiveOrder("mailchimp_events", httpcaddyfile.Before, "respond")
}

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	mailchimp_events [<matcher>] {
//	    url  <public url>
//	    key  <webhook key>...
//	}
func (h *Events) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Err("mailchimp_events takes no argument beside a matcher: url and key stand in the block")
	}
	if err := (directive.Options{
		"url": directive.Text("url <public url>", &h.URL),
		"key": directive.Texts("key <webhook key>...", &h.Keys),
	}).Unmarshal(d); err != nil {
		return err
	}
	switch {
	case h.URL == "":
		return d.Err("mailchimp_events needs its public URL: url <public url>")
	case len(h.Keys) == 0:
		return d.Err("mailchimp_events needs a key of Mandrill's webhook: key <webhook key>...")
	}
	return nil
}

func parseEvents(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	events := new(Events)
	return events, events.UnmarshalCaddyfile(h.Dispenser)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Events)(nil)
