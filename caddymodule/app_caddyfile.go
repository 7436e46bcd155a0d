package caddymodule

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("mailchimp", parseApp)
}

func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option mailchimp stands twice: make one block of them")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "mailchimp", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app. Syntax:
//
//	mailchimp {
//	    api_key        <key>
//	    sender_domain  <domain>...
//	    api_base       <url>
//	    outbox         off
//	    log_recipients
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume option name
	if d.NextArg() {
		return d.Err("mailchimp takes no argument: its options stand in a block")
	}
	block := options{
		"api_key":        text("api_key <key>", &a.APIKey),
		"sender_domain":  texts("sender_domain <domain>...", &a.SenderDomains),
		"api_base":       text("api_base <url>", &a.APIBase),
		"log_recipients": flag("log_recipients", &a.LogRecipients),
		"outbox": {usage: "outbox off", min: 1, max: -1, set: func(args []string) error {
			if len(args) == 1 && args[0] == "off" {
				return nil
			}
			return errNoOutbox
		}},
	}
	for _, name := range []string{"workers", "retry_for", "keep", "max_pending", "outbox_key", "keep_content"} {
		block[name] = option{usage: name, max: -1, set: func([]string) error { return errNoOutbox }}
	}
	return block.unmarshal(d)
}

var errNoOutbox = errors.New("this version has no outbox, it sends before Ory is answered (delivery sync): remove the line")

// Interface guards
var _ caddyfile.Unmarshaler = (*App)(nil)
