package caddymodule

import (
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "mailchimp",
		Usage: "<command>",
		Short: "Renders templates and looks after the sending of mail",
		Long:  "Commands for the writers of mail templates and for the operators of mailchimp_hook.",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(renderCommand(), checkDomainCommand(), statusCommand(), sendTestCommand(), outboxCommand())
		},
	})
}

// plainly makes a command print its error as it is, so that editors find the file and the line.
// Caddy exits with 1 then.
func plainly(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := run(cmd, args)
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
		}
		return err
	}
}
