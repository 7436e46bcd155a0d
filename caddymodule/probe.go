package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// pingInterval is how long an answer to users/ping2 is good for.
const pingInterval = 10 * time.Second

// ping asks whether an account works, without sending anything. It asks Mandrill at most once in pingInterval.
func (a *App) ping(ctx context.Context, client *mandrill.Client) error {
	return a.pings.get(ctx, client, pingInterval, client.Ping)
}

// Probe asks whether a hold may be over, before a message is sent to see. Its error is the reason why it is not.
func (d deliverer) Probe(ctx context.Context, hold outbox.Hold, entry outbox.Entry) error {
	if account := d.app.listFor(entry.Sender); account != nil {
		return account.probe(ctx)
	}
	client := d.app.ClientFor(entry.Sender)
	if client == nil {
		return nil
	}
	switch hold.Scope {
	case outbox.ScopeKey:
		if err := d.app.ping(ctx, client); err != nil {
			return errors.New(Explain(err, false))
		}
	case outbox.ScopeDomain:
		return checkSigning(ctx, client, entry.Sender)
	}
	return nil
}

// checkSigning returns an error while Mandrill does not sign for a domain.
func checkSigning(ctx context.Context, client *mandrill.Client, domain string) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	domains, err := client.Domains(ctx)
	if err != nil {
		return errors.New(Explain(err, false))
	}
	if found, _ := mandrill.FindDomain(domains, domain); found.ValidSigning {
		return nil
	}
	return errors.New(refusalOf(mandrill.Recipient{Status: "rejected", RejectReason: "unsigned"}))
}

// probe asks whether the account can change its audience, and changes nothing.
func (a *listAccount) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	if _, err := a.client.Load().List(ctx, a.list); err != nil {
		return errors.New(Explain(err, false))
	}
	return nil
}
