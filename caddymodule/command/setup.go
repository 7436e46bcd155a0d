package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

type setupOptions struct {
	config, adapter, url string
	yes                  bool
}

func setupCommand() *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Shows what a Mandrill account lacks for the configuration, and adds it",
		Long: `
Asks Mandrill, for each API key of the configuration, about

  - the sender domains, and prints the DNS records that are missing
  - the metadata fields by which mails are found whose answer was lost
  - the webhook of mailchimp_events
  - the sub-accounts that templates name literally

Without --yes it changes nothing. With --yes it adds to the account what is missing
there. You can run it again at any time.

The webhook is that of --url, else of each mailchimp_events of the configuration. Its
key is printed once, when it is added.

The command exits with status 1 while something is missing.`,
		Example: "caddy mailchimp setup --config /etc/caddy/Caddyfile --url https://hooks.example.com/mandrill --yes",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file; default: the Caddyfile of the current folder")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of config adapter to apply")
	flags.StringVar(&o.url, "url", "", "The public URL of mailchimp_events")
	flags.BoolVarP(&o.yes, "yes", "y", false, "Add what is missing")
	return printErrors(cmd)
}

func (o *setupOptions) run(cmd *cobra.Command) error {
	if o.url != "" {
		if parsed, err := url.Parse(o.url); err != nil || parsed.Host == "" ||
			parsed.Scheme != "https" && parsed.Scheme != "http" {
			return fmt.Errorf("--url: %q is not a URL such as https://hooks.example.com/mandrill", o.url)
		}
	}
	config, _, _, err := caddycmd.LoadConfig(o.config, o.adapter)
	if err != nil {
		return err
	}
	if len(config) == 0 {
		return errors.New("there is no configuration: name it with --config")
	}
	read, err := readConfiguration(config)
	if err != nil {
		return err
	}
	s := &setup{cmd: cmd, yes: o.yes, configuration: read}
	s.webhooks = slices.Sorted(maps.Keys(read.webhookKeys))
	if o.url != "" {
		s.webhooks = []string{o.url}
	}
	for i, account := range read.accounts {
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := s.account(cmd.Context(), account); err != nil {
			return err
		}
	}
	return s.result()
}

// setup compares accounts with a configuration.
type setup struct {
	*configuration
	cmd *cobra.Command
	yes bool
	// webhooks are the URLs that each account needs.
	webhooks []string

	client *mandrill.Client
	// addable is how much --yes would add, and manual how much is for the operator to do.
	addable, manual int
}

func (s *setup) account(ctx context.Context, account *senderAccount) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := mandrill.New(account.key, mandrill.WithBaseURL(account.base))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	s.client = client
	fmt.Fprintf(s.cmd.OutOrStdout(), "The account of the API key …%s at %s\n",
		caddymodule.KeyEnding(account.key), account.base)
	if err := client.Ping(ctx); err != nil {
		s.failed("asking whether the key is valid", err)
		return nil
	}
	s.domains(ctx, account.domains)
	s.metadata(ctx)
	s.allWebhooks(ctx)
	s.subaccounts(ctx, account.templates)
	return nil
}

func (s *setup) heading(format string, args ...any) {
	fmt.Fprintf(s.cmd.OutOrStdout(), "\n"+format+"\n", args...)
}

// say prints a thing with its state, and lines that explain it.
func (s *setup) say(what, state string, lines ...string) {
	out := s.cmd.OutOrStdout()
	fmt.Fprintf(out, "  %-13s %s\n", what, state)
	for _, line := range lines {
		fmt.Fprintf(out, "  %-13s %s\n", "", line)
	}
}

// add adds something that is missing if --yes is given. It reports whether it was added.
func (s *setup) add(what, missing string, do func() error) bool {
	if !s.yes {
		s.addable++
		s.say(what, missing)
		return false
	}
	if err := do(); err != nil {
		s.failed("adding "+what, err)
		return false
	}
	s.say(what, "added")
	return true
}

// byHand says what the operator must do.
func (s *setup) byHand(what, state string, lines ...string) {
	s.manual++
	s.say(what, state, lines...)
}

// failed says that a call failed, with Mandrill's words.
func (s *setup) failed(doing string, err error) {
	s.manual++
	fmt.Fprintf(s.cmd.OutOrStdout(), "  error: %s: %s\n", doing, printable(caddymodule.Explain(err, true)))
}

// result is an error while something is missing.
func (s *setup) result() error {
	fmt.Fprintln(s.cmd.OutOrStdout())
	switch {
	case s.addable > 0:
		return fmt.Errorf("%d missing: run the command again with --yes to add what can be added to the account",
			s.addable+s.manual)
	case s.manual > 0:
		return fmt.Errorf("%d still missing: see above", s.manual)
	}
	fmt.Fprintln(s.cmd.OutOrStdout(), "Nothing is missing.")
	return nil
}
