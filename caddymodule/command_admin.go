package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// adminOptions say where the running Caddy's admin endpoint is, as `caddy reload` has them.
type adminOptions struct {
	address, config, adapter string
	asJSON                   bool
}

// addTo gives the command, and those below it, the flags.
func (o *adminOptions) addTo(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.address, "address", "", "Address of the administration API listener, if not the default")
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file to take the address from")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of config adapter to apply")
}

func (o *adminOptions) addJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "Print JSON")
	return cmd
}

// request calls the admin API.
func (o *adminOptions) request(method, path string, body any) (*http.Response, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(o.address, nil, o.config, o.adapter)
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	var encoded io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		encoded = bytes.NewReader(data)
	}
	response, err := caddycmd.AdminAPIRequest(address, method, adminPath+path, http.Header{"Content-Type": {"application/json"}}, encoded)
	if err != nil {
		return nil, said(err)
	}
	return response, nil
}

// said makes the error that Caddy answered of one that repeats the answer.
func said(err error) error {
	const before = "caddy responded with error: HTTP "
	text := err.Error()
	var answer struct {
		Error string `json:"error"`
	}
	if brace := strings.IndexByte(text, '{'); strings.HasPrefix(text, before) && brace > 0 && json.Unmarshal([]byte(text[brace:]), &answer) == nil && answer.Error != "" {
		return errors.New(answer.Error)
	}
	if strings.HasPrefix(text, before+"404") {
		return errors.New("the running Caddy doesn't have this plugin, or not this version of it")
	}
	return fmt.Errorf("asking the running Caddy: %w", err)
}

// call calls the admin API and decodes its answer.
func (o *adminOptions) call(method, path string, body, answer any) error {
	response, err := o.request(method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// newTable is a table with a first line.
func newTable(cmd *cobra.Command, columns ...string) *tabwriter.Writer {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(columns, "\t"))
	return table
}

// since is the time that has passed, for people.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	passed := time.Since(t)
	switch {
	case passed < time.Minute:
		return fmt.Sprintf("%ds", int(passed.Seconds()))
	case passed < time.Hour:
		return fmt.Sprintf("%dm", int(passed.Minutes()))
	case passed < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(passed.Hours()), int(passed.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(passed.Hours()/24))
	}
}

// printable takes from a text what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// oneLine makes a text fit a table.
func oneLine(text string) string {
	const width = 100
	if runes := []rune(printable(text)); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return printable(text)
}
