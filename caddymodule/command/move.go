package command

import (
	"encoding/json"
	"errors"
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// moveCommand needs no running Caddy: the file belongs to one process.
func moveCommand(o *adminFlags) *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "move",
		Short: "Carries a SQLite outbox over to PostgreSQL",
		Long: `
Moves all entries of a SQLite outbox to PostgreSQL, with their states, keys and
content, and leaves the file empty. Stop the Caddy that has the file first.
Interrupted, it is run again.

The database is the one that --config names (outbox postgres …), or --to.`,
		Example: "caddy mailchimp outbox move --from /var/lib/caddy/mailchimp/outbox.db --config /etc/caddy/Caddyfile",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.move(cmd, from, to) },
	}
	cmd.Flags().StringVar(&from, "from", caddymodule.DefaultOutboxFile(), "The SQLite file")
	cmd.Flags().StringVar(&to, "to", "", "The DSN of the database; takes placeholders such as {env.DSN}")
	return printErrors(cmd)
}

func (o *adminFlags) move(cmd *cobra.Command, from, to string) error {
	if to == "" {
		var err error
		if to, err = o.configuredDSN(); err != nil {
			return err
		}
	}
	dsn, err := directive.Expand("--to", to)
	if err != nil {
		return err
	}
	meter := newMeter(cmd)
	p, err := outbox.Move(cmd.Context(), from, dsn, meter.show)
	meter.end()
	if p.Done > 0 || err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%d entries moved\n", p.Done)
	}
	return err
}

// configuredDSN is the database of the configuration's outbox.
func (o *adminFlags) configuredDSN() (string, error) {
	if o.config == "" {
		return "", errors.New("name the configuration that has outbox postgres by --config, or the database by --to")
	}
	config, _, _, err := caddycmd.LoadConfig(o.config, o.adapter)
	if err != nil {
		return "", err
	}
	var parsed struct {
		Apps struct {
			Mailchimp caddymodule.App `json:"mailchimp"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &parsed); err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	if box := parsed.Apps.Mailchimp.Outbox; box != nil && box.Kind == "postgres" {
		return box.DSN, nil
	}
	return "", fmt.Errorf("%s has no outbox postgres", o.config)
}
