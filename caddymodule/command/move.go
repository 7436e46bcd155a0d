package command

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// moveCommand needs no running Caddy: no Caddy may have the source open.
func moveCommand(o *adminFlags) *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "move",
		Short: "Moves the outbox to another file or database",
		Long: `
Moves all entries of an outbox to another one, from SQLite to PostgreSQL or back,
with their IDs, states, keys and content. Stop each Caddy that has the first
outbox open. If the command is interrupted, run it again: it continues where it
stopped.

An outbox is a file, or the DSN of a database. The target is the outbox of the
configuration (--config), or --to. If you use outbox_key, name --config.`,
		Example: "caddy mailchimp outbox move --from /var/lib/caddy/mailchimp/outbox.db --config /etc/caddy/Caddyfile",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.move(cmd, from, to) },
	}
	cmd.Flags().StringVar(&from, "from", caddymodule.DefaultOutboxFile(),
		"The file or the DSN of the outbox to move; takes placeholders such as {env.DSN}")
	cmd.Flags().StringVar(&to, "to", "", "The file or the DSN of the target; takes placeholders such as {env.DSN}")
	return printErrors(cmd)
}

func (o *adminFlags) move(cmd *cobra.Command, from, to string) error {
	configured, keys, err := o.configuredOutbox()
	if err != nil {
		return err
	}
	target := configured
	if to != "" {
		if target, err = outboxAt("--to", to); err != nil {
			return err
		}
	}
	if target == (outbox.Config{}) {
		return errors.New("name the target: the configuration that has it by --config, or a file or a DSN by --to")
	}
	source, err := outboxAt("--from", from)
	if err != nil {
		return err
	}
	if source == target {
		return errors.New("the outbox to move and the target are the same")
	}
	meter := newMeter(cmd)
	p, err := outbox.Move(cmd.Context(), source, target, keys, meter.show)
	meter.end()
	if p.Done > 0 || err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s moved\n", admin.Entries(p.Done))
	}
	return err
}

// outboxAt returns the outbox that a flag names by a file or a DSN.
func outboxAt(flag, value string) (outbox.Config, error) {
	expanded, err := directive.Expand(flag, value)
	if err != nil {
		return outbox.Config{}, err
	}
	if strings.HasPrefix(expanded, "postgres://") || strings.HasPrefix(expanded, "postgresql://") ||
		strings.Contains(expanded, "host=") {
		return outbox.Config{Postgres: expanded}, nil
	}
	file, err := filepath.Abs(expanded)
	return outbox.Config{SQLite: file}, err
}

// configuredOutbox returns the outbox of the configuration and its keys, or nothing if there is no --config.
func (o *adminFlags) configuredOutbox() (outbox.Config, []string, error) {
	var none outbox.Config
	if o.config == "" {
		return none, nil, nil
	}
	config, _, _, err := caddycmd.LoadConfig(o.config, o.adapter)
	if err != nil {
		return none, nil, err
	}
	apps, err := appsIn(config)
	if err != nil {
		return none, nil, err
	}
	app := &apps.Mailchimp
	keys, err := directive.ExpandAll("outbox_key", app.OutboxKeys)
	if err != nil {
		return none, nil, err
	}
	switch box := app.Outbox; {
	case box == nil || (box.Kind == "" || box.Kind == "sqlite") && box.File == "":
		target, err := outboxAt("outbox sqlite", caddymodule.DefaultOutboxFile())
		return target, keys, err
	case box.Kind == "postgres":
		dsn, err := directive.Expand("outbox postgres", box.DSN)
		return outbox.Config{Postgres: dsn}, keys, err
	case box.Kind == "off":
		return none, keys, fmt.Errorf("%s has outbox off", o.config)
	default:
		target, err := outboxAt("outbox sqlite", box.File)
		return target, keys, err
	}
}

// newKeyCommand needs no running Caddy.
func newKeyCommand() *cobra.Command {
	return printErrors(&cobra.Command{
		Use:   "key",
		Short: "Makes a key for outbox_key",
		Long: `
Prints 32 random bytes in base64, for outbox_key. Keep the key in a file or a
variable and name that in the configuration, such as
outbox_key {file./etc/caddy/outbox.key}.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), outbox.NewKey())
			return err
		},
	})
}

func (o *adminFlags) backupCommand() *cobra.Command {
	return printErrors(&cobra.Command{
		Use:   "backup <file>",
		Short: "Copies the running Caddy's SQLite outbox to a new file",
		Long: `
Has the running Caddy copy its outbox to a file that does not exist yet. Hooks are
stored meanwhile. The file is created on Caddy's machine, by Caddy's user.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := o.call(http.MethodPost, "outbox/backup", admin.Backup{File: file}, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "copied to %s\n", file)
			return nil
		},
	})
}
