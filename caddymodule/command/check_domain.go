package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

type domainOptions struct {
	keySource
	add bool
}

func checkDomainCommand() *cobra.Command {
	var o domainOptions
	cmd := &cobra.Command{
		Use:   "check-domain <domain>",
		Short: "Shows whether Mandrill sends for a domain, and what to do if not",
		Long: `
Asks Mandrill about the domain's verification, its two DKIM records and DMARC, and
prints the DNS records that are missing. Mail from a domain that lacks them is
rejected as "unsigned". Mandrill doesn't ask for SPF any more.

The API key comes from --key-file, else from the configuration (--config), else
from the environment variable MANDRILL_API_KEY.

With --add, a domain that is not in the account is added to it.
The command exits with status 1 if the domain can't send.`,
		Example: "MANDRILL_API_KEY=… caddy mailchimp check-domain example.com",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	o.flags(cmd, "Mandrill")
	cmd.Flags().BoolVar(&o.add, "add", false, "Add the domain to the account if it isn't there")
	return printErrors(cmd)
}

func (o *domainOptions) run(cmd *cobra.Command, name string) error {
	name, err := mandrill.NormalizeDomain(name)
	if err != nil {
		return err
	}
	account, err := o.domainAccount(name)
	if err != nil {
		return err
	}
	client, err := mandrill.New(account.key, mandrill.WithBaseURL(cmp.Or(o.apiBase, account.base)))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
	defer cancel()
	domain, err := o.find(ctx, client, name)
	if err != nil {
		return fmt.Errorf("asking Mandrill about %s: %w", name, withRemedy(err))
	}
	printDomain(cmd.OutOrStdout(), "", domain)
	if err := unsigned(domain); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nMandrill sends for %s.\n", domain.Domain)
	return nil
}

// domainAccount returns the account to ask about a domain.
func (s *keySource) domainAccount(domain string) (account, error) {
	config, err := s.load()
	if err != nil {
		return account{}, err
	}
	if config != nil {
		return accountOf(config, domain)
	}
	key, err := s.key("MANDRILL_API_KEY")
	return account{key: key, base: mandrill.DefaultBaseURL}, err
}

// accountOf returns the account that sends for the domain: that of a hook which names the domain and a
// key of its own, else the app's.
func accountOf(config []byte, domain string) (account, error) {
	apps, err := appsIn(config)
	if err != nil {
		return account{}, err
	}
	key := apps.Mailchimp.APIKey
	for _, hook := range apps.hooks() {
		isOfHook := slices.ContainsFunc(hook.SenderDomains, func(d string) bool { return sameDomain(d, domain) })
		if hook.APIKey != "" && isOfHook {
			key = hook.APIKey
		}
	}
	if key == "" {
		return account{}, caddymodule.ErrNoKey
	}
	var a account
	if a.key, err = directive.Expand("api_key", key); err != nil {
		return a, err
	}
	a.base, err = directive.Expand("api_base", cmp.Or(apps.Mailchimp.APIBase, mandrill.DefaultBaseURL))
	return a, err
}

// sameDomain reports whether a domain, as the configuration has it, is the other one.
func sameDomain(configured, domain string) bool {
	expanded, err := expandDomain(configured)
	return err == nil && mandrill.SameDomain(expanded, domain)
}

// find reads the account's domains first: asking for the check of a domain adds it to the account.
func (o *domainOptions) find(ctx context.Context, client *mandrill.Client, name string) (mandrill.Domain, error) {
	domains, err := client.Domains(ctx)
	if err != nil {
		return mandrill.Domain{}, err
	}
	if _, known := mandrill.FindDomain(domains, name); !known && !o.add {
		return mandrill.Domain{}, errors.New("the account doesn't have this domain: " +
			"run the command again with --add to add it")
	}
	return client.CheckDomain(ctx, name)
}

// withRemedy adds the remedy to an error of Mailchimp's.
func withRemedy(err error) error {
	var failure interface {
		error
		Remedy() string
	}
	if errors.As(err, &failure) && failure.Remedy() != "" {
		return fmt.Errorf("%w: %s", err, failure.Remedy())
	}
	return err
}
