package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// adminOptions say where the running Caddy's admin endpoint is, as `caddy reload` has them.
type adminOptions struct{ address, config, adapter string }

func outboxCommand() *cobra.Command {
	o := new(adminOptions)
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Shows and changes the entries of the running Caddy's outbox",
		RunE:  plainly(helpOrUnknown),
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.address, "address", "", "Address of the administration API listener, if not the default")
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file to take the address from")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of config adapter to apply")

	var state, recipient string
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Short: "Lists entries, the newest first", Args: cobra.NoArgs,
		RunE: plainly(func(cmd *cobra.Command, _ []string) error { return o.list(cmd, state, recipient, asJSON) }),
	}
	list.Flags().StringVar(&state, "state", "", fmt.Sprintf("Only those in a state, one of %v", outbox.States))
	list.Flags().StringVar(&recipient, "recipient", "", "Only those to an address")
	list.Flags().BoolVar(&asJSON, "json", false, "Print JSON")
	list.MarkFlagsMutuallyExclusive("state", "recipient")
	cmd.AddCommand(list, &cobra.Command{
		Use: "show <id>", Short: "Shows an entry with its attempts and what Mandrill said", Args: cobra.ExactArgs(1),
		RunE: plainly(func(cmd *cobra.Command, args []string) error { return o.show(cmd, args[0]) }),
	}, &cobra.Command{
		Use: "retry <id>...", Short: "Tries entries again that wait, are dead or couldn't be rendered", Args: cobra.MinimumNArgs(1),
		RunE: plainly(func(cmd *cobra.Command, args []string) error { return o.each(cmd, args, "retry") }),
	}, &cobra.Command{
		Use: "discard <id>...", Short: "Takes entries out", Args: cobra.MinimumNArgs(1),
		RunE: plainly(func(cmd *cobra.Command, args []string) error { return o.each(cmd, args, "discard") }),
	}, &cobra.Command{
		Use: "forget <address>", Short: "Erases all entries to an address", Args: cobra.ExactArgs(1),
		RunE: plainly(func(cmd *cobra.Command, args []string) error { return o.forget(cmd, args[0]) }),
	})
	return cmd
}

// call calls the admin API and decodes its answer.
func (o *adminOptions) call(method, path string, body, answer any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(o.address, nil, o.config, o.adapter)
	if err != nil {
		return fmt.Errorf("finding the admin endpoint: %w", err)
	}
	var encoded io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		encoded = bytes.NewReader(data)
	}
	response, err := caddycmd.AdminAPIRequest(address, method, adminPath+path, http.Header{"Content-Type": {"application/json"}}, encoded)
	if err != nil {
		return fmt.Errorf("asking the running Caddy: %w", err)
	}
	defer response.Body.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (o *adminOptions) list(cmd *cobra.Command, state, recipient string, asJSON bool) error {
	var entries []outbox.Entry
	var err error
	if recipient != "" {
		err = o.call(http.MethodPost, "outbox/search", map[string]string{"recipient": recipient}, &entries)
	} else {
		err = o.call(http.MethodGet, "outbox?"+url.Values{"state": {state}}.Encode(), nil, &entries)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, entries)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tACCEPTED\tSTATE\tATTEMPTS\tTEMPLATE\tREASON")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", e.ID, e.Accepted.Local().Format(time.DateTime), e.State, len(e.Attempts), e.Template, e.Reason)
	}
	return table.Flush()
}

func (o *adminOptions) show(cmd *cobra.Command, id string) error {
	var entry outbox.Entry
	if err := o.call(http.MethodGet, "outbox/"+url.PathEscape(id), nil, &entry); err != nil {
		return err
	}
	return printJSON(cmd, entry)
}

// each does to each entry what can be done, and says of which it couldn't.
func (o *adminOptions) each(cmd *cobra.Command, ids []string, what string) error {
	var failed []string
	for _, id := range ids {
		if err := o.call(http.MethodPost, "outbox/"+url.PathEscape(id)+"/"+what, nil, nil); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			failed = append(failed, id)
		}
	}
	if len(failed) > 0 {
		return errors.New("failed for " + strings.Join(failed, ", "))
	}
	return nil
}

func (o *adminOptions) forget(cmd *cobra.Command, address string) error {
	var answer struct {
		Forgotten int `json:"forgotten"`
	}
	if err := o.call(http.MethodPost, "outbox/forget", map[string]string{"recipient": address}, &answer); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d entries forgotten\n", answer.Forgotten)
	return nil
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
