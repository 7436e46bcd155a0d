package command

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

func checkAudienceCommand() *cobra.Command {
	var o keySource
	cmd := &cobra.Command{
		Use:   "check-audience <list>",
		Short: "Shows whether Mailchimp knows an API key and an audience",
		Long: `
Asks Mailchimp for the audience with this id, and changes nothing.

The API key comes from --key-file, else from the mailchimp_audience with this
list in the configuration (--config), else from the environment variable
MAILCHIMP_API_KEY. It is a key of Mailchimp, not of Mandrill.

The command exits with status 1 if Mailchimp doesn't know the key or the
audience.`,
		Example: "MAILCHIMP_API_KEY=… caddy mailchimp check-audience a1b2c3d4e5",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return checkAudience(cmd, &o, args[0]) },
	}
	o.flags(cmd, "Mailchimp")
	return printErrors(cmd)
}

func checkAudience(cmd *cobra.Command, source *keySource, id string) error {
	if err := audience.CheckList(id); err != nil {
		return err
	}
	account, err := source.listAccount(id)
	if err != nil {
		return err
	}
	client, err := audience.New(account.key, audience.WithBaseURL(cmp.Or(source.apiBase, account.base)))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
	defer cancel()
	list, err := client.List(ctx, id)
	if err != nil {
		return fmt.Errorf("asking Mailchimp about the audience %s: %w", id, withRemedy(err))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Mailchimp accepts the key, and has the audience %s: %q, %d subscribed.\n",
		id, list.Name, list.Stats.Subscribed)
	return nil
}

// listAccount returns the account to ask about a list.
func (s *keySource) listAccount(id string) (account, error) {
	config, err := s.load()
	if err != nil {
		return account{}, err
	}
	if config != nil {
		return accountOfList(config, id)
	}
	key, err := s.key("MAILCHIMP_API_KEY")
	return account{key: key}, err
}

// accountOfList returns the account that a configuration has for a list.
func accountOfList(config []byte, id string) (account, error) {
	for _, handler := range handlersIn[caddymodule.Audience](config, "mailchimp_audience") {
		list, err := directive.Expand("list", handler.List)
		if err != nil || !strings.EqualFold(list, id) {
			continue
		}
		var a account
		if a.key, err = directive.Expand("api_key", handler.APIKey); err == nil && handler.APIBase != "" {
			a.base, err = directive.Expand("api_base", handler.APIBase)
		}
		return a, err
	}
	return account{}, fmt.Errorf("the configuration has no mailchimp_audience with list %s", id)
}
