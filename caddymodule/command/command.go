// Package command adds the command `caddy mailchimp`. What is about the running Caddy asks its admin API.
package command

import (
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "mailchimp",
		Usage: "<command>",
		Short: "Renders templates and operates the delivery of mail",
		Long:  "Commands for people who write mail templates or operate mailchimp_hook and mailchimp_audience.",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.RunE = helpOrUnknown
			printErrors(cmd)
			cmd.AddCommand(renderCommand(), previewCommand(), setupCommand(), checkDomainCommand(), checkAudienceCommand(),
				statusCommand(), sendTestCommand(), outboxCommand())
		},
	})
}

// helpOrUnknown is what a command does that has only subcommands: a misspelt one fails.
func helpOrUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return fmt.Errorf("%s has no command %q: see %[1]s --help", cmd.CommandPath(), args[0])
}

// printErrors makes a command print its error without a prefix, so that editors find the file and the line. Caddy exits
// with status 1 then.
func printErrors(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		// Not before: cobra prints what is wrong with flags and arguments.
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := run(cmd, args)
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
		}
		return err
	}
	return cmd
}
