package caddymodule

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("mailchimp", parseApp)
}

func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option mailchimp is repeated: make one block of them")
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
//	    outbox         sqlite [<file>]
//	    outbox         postgres <dsn>
//	    outbox         off
//	    workers        <n>
//	    retry_for      <duration>
//	    keep           <duration>
//	    max_pending    <n>
//	    render_memory  <size>
//	    outbox_key     <key>...
//	    keep_content
//	    log_recipients
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume option name
	if d.NextArg() {
		return d.Err("mailchimp takes no argument: its options stand in a block")
	}
	err := directive.Options{
		"api_key":        directive.Text("api_key <key>", &a.APIKey),
		"sender_domain":  directive.Texts("sender_domain <domain>...", &a.SenderDomains),
		"api_base":       directive.Text("api_base <url>", &a.APIBase),
		"outbox":         {Usage: outboxUsage, Min: 1, Max: 2, Set: a.setOutbox},
		"workers":        directive.Number("workers <n>", &a.Workers),
		"retry_for":      directive.Duration("retry_for <duration>", &a.RetryFor),
		"keep":           directive.Duration("keep <duration>", &a.Keep),
		"max_pending":    directive.Number("max_pending <n>", &a.MaxPending),
		"render_memory":  directive.Size("render_memory <size>", &a.RenderMemory),
		"outbox_key":     directive.Texts("outbox_key <key>...", &a.OutboxKeys),
		"keep_content":   directive.Flag("keep_content", &a.KeepContent),
		"log_recipients": directive.Flag("log_recipients", &a.LogRecipients),
	}.Unmarshal(d)
	if err == nil && a.checkOutbox() != nil {
		err = d.Err(a.checkOutbox().Error())
	}
	return err
}

const outboxUsage = "outbox sqlite [<file>], outbox postgres <dsn>, or outbox off"

func (a *App) setOutbox(args []string) error {
	a.Outbox = &Outbox{Kind: args[0]}
	switch {
	case args[0] == "sqlite" && len(args) == 1, args[0] == "off" && len(args) == 1:
	case args[0] == "sqlite":
		a.Outbox.File = args[1]
	case args[0] == "postgres" && len(args) == 2:
		a.Outbox.DSN = args[1]
	default:
		return errors.New("expected: " + outboxUsage)
	}
	return directive.NonEmpty(args)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*App)(nil)
