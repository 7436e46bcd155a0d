package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// domains compares the sender domains.
func (s *setup) domains(ctx context.Context, wanted []string) {
	there, err := s.client.Domains(ctx)
	if err != nil {
		s.heading("Sender domains")
		s.failed("listing the sender domains", err)
		return
	}
	for _, name := range wanted {
		s.heading("Sender domain %s", name)
		_, known := mandrill.FindDomain(there, name)
		if !known && !s.yes {
			s.addable++
			s.say("account", "missing", "--yes adds the domain to the account, and prints its verification record.",
				"These records are the same for all accounts:")
			for _, record := range dnsRecords(name) {
				s.say("", record.line)
			}
			continue
		}
		domain, err := s.client.CheckDomain(ctx, name) // adds it if it isn't there
		if err != nil {
			s.failed("checking the domain", err)
			continue
		}
		if !known {
			s.say("account", "added")
		}
		printDomain(s.cmd.OutOrStdout(), "  ", domain)
		if err := unsigned(domain); err != nil {
			s.manual++
			fmt.Fprintf(s.cmd.OutOrStdout(), "  %v.\n", err)
		}
	}
}

// metadata compares the searchable fields.
func (s *setup) metadata(ctx context.Context) {
	s.heading("Metadata fields, by which mails are found whose answer was lost")
	fields, err := s.client.MetadataFields(ctx)
	if err != nil {
		s.failed("listing the metadata fields", err)
		return
	}
	for _, name := range caddymodule.MetadataFields {
		i := slices.IndexFunc(fields, func(f mandrill.MetadataField) bool { return f.Name == name })
		if i < 0 {
			s.add(name, "missing", func() error {
				_, err := s.client.AddMetadataField(ctx, name)
				return err
			})
			continue
		}
		switch state := fields[i].State; state {
		case "active":
			s.say(name, "ok")
		case "index":
			s.say(name, "ok, Mandrill is about to index it")
		case "delete":
			s.byHand(name, "is being deleted: run the command again when it is gone")
		default:
			s.byHand(name, printable(state)+": delete the field in your Mandrill account, and run the command again")
		}
	}
}

// allWebhooks compares the webhooks.
func (s *setup) allWebhooks(ctx context.Context) {
	if len(s.webhooks) == 0 {
		s.heading("Webhook: left out, because there is neither --url nor a mailchimp_events in the configuration")
		return
	}
	there, err := s.client.Webhooks(ctx)
	if err != nil {
		s.heading("Webhooks")
		s.failed("listing the webhooks", err)
		return
	}
	for _, url := range s.webhooks {
		s.heading("Webhook %s", url)
		i := slices.IndexFunc(there, func(w mandrill.Webhook) bool { return w.URL == url })
		if i < 0 {
			s.addWebhook(ctx, url)
			continue
		}
		s.webhook(ctx, there[i])
	}
}

func (s *setup) addWebhook(ctx context.Context, url string) {
	var added mandrill.Webhook
	if s.add("webhook", "missing", func() (err error) {
		added, err = s.client.AddWebhook(ctx, url, "Caddy: mailchimp_events", mandrill.MessageEvents)
		return err
	}) {
		s.byHand("its key", printable(added.AuthKey),
			"This command prints it only once. Write it into the configuration, and reload Caddy:",
			"mailchimp_events {", "\turl "+url, "\tkey "+printable(added.AuthKey), "}")
	}
}

// webhook compares a webhook that is there.
func (s *setup) webhook(ctx context.Context, hook mandrill.Webhook) {
	lacking := slices.DeleteFunc(slices.Clone(mandrill.MessageEvents), func(event string) bool {
		return slices.Contains(hook.Events, event)
	})
	if len(lacking) == 0 {
		s.say("events", "ok")
	} else {
		s.add("events", "missing: "+strings.Join(lacking, ", "), func() error {
			hook.Events = append(hook.Events, lacking...)
			_, err := s.client.UpdateWebhook(ctx, hook)
			return err
		})
	}
	keys, configured := s.webhookKeys[hook.URL]
	switch {
	case !configured:
		s.byHand("its key", "is for a mailchimp_events with this URL, which the configuration doesn't have",
			"mailchimp_events {", "\turl "+hook.URL, "\tkey <the key in your Mandrill account, Settings > Webhooks>", "}")
	case hook.AuthKey == "":
		s.say("its key", "Mandrill doesn't say it: compare mailchimp_events with Settings > Webhooks")
	case !slices.Contains(keys, hook.AuthKey):
		s.byHand("its key", "is not the one of mailchimp_events: take it from your Mandrill account, Settings > Webhooks")
	default:
		s.say("its key", "ok")
	}
	if hook.LastError != "" {
		s.say("last error", oneLine(hook.LastError))
	}
}

// subaccounts compares the sub-accounts that templates name.
func (s *setup) subaccounts(ctx context.Context, templates []string) {
	named := make(map[string]bool)
	var unread []error
	for _, template := range templates {
		names, err := subaccountsIn(template)
		if err != nil {
			unread = append(unread, err)
		}
		for _, name := range names {
			named[name] = true
		}
	}
	if len(named)+len(unread) == 0 {
		return
	}
	s.heading("Sub-accounts that templates name")
	for _, err := range unread {
		s.failed("looking for sub-accounts", err)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		found, err := s.client.Subaccounts(ctx, name)
		if err != nil {
			s.failed("looking for the sub-account "+name, err)
			continue
		}
		i := slices.IndexFunc(found, func(sub mandrill.Subaccount) bool { return sub.ID == name })
		switch {
		case i < 0:
			s.add(name, "missing", func() error {
				_, err := s.client.AddSubaccount(ctx, name)
				return err
			})
		case found[i].Status == "paused":
			s.say(name, "ok, but paused: Mandrill keeps its mail back for up to 3 days")
		default:
			s.say(name, "ok")
		}
	}
}
