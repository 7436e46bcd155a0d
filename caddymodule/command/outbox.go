package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func outboxCommand() *cobra.Command {
	o := new(adminFlags)
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Shows and changes the entries of the running Caddy's outbox",
		RunE:  helpOrUnknown,
	}
	o.addTo(cmd)
	cmd.AddCommand(o.listCommand(), o.showCommand(),
		o.retryCommand(), o.discardCommand(),
		printErrors(&cobra.Command{
			Use: "forget <address>", Short: "Erases all entries to an address", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return o.forget(cmd, args[0]) },
		}),
		o.pauseCommand("pause", "is paused",
			"Keeps back the entries of a sender domain, of an audience (list:<id>) or of a template, until you resume it"),
		o.pauseCommand("resume", "sends again",
			"Ends the pause of a sender domain, of an audience (list:<id>) or of a template"),
		moveCommand(o), newKeyCommand(), o.backupCommand(),
	)
	return printErrors(cmd)
}

// conditionFlags are flags that pick entries.
type conditionFlags struct{ admin.Conditions }

func (c *conditionFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar((*[]string)(&c.State), "state", nil,
		fmt.Sprintf("Only those in a state, of %v; repeat it for several", outbox.States))
	flags.StringVar(&c.Event, "event", "", "Only those whose last event is this one, such as hard_bounce")
	flags.StringVar(&c.Sender, "sender", "", "Only those of a sender domain, or of an audience (list:<id>)")
	flags.StringVar(&c.Template, "template", "", "Only those of a template, as the configuration names it")
	flags.StringVar(&c.Recipient, "recipient", "", "Only those to a recipient, named by address or hash")
	flags.StringVar(&c.Reason, "reason", "", "Only those whose reason contains this text")
	flags.StringVar(&c.Since, "since", "", "Only those accepted since a date, such as 2026-11-27, a time, "+
		"such as 2026-11-27T15:04:05Z, or within a duration, such as 24h or 7d")
	flags.StringVar(&c.Until, "until", "", "Only those accepted before a date or a time, or longer ago than a duration")
}

// read returns the conditions with times in place of durations and dates.
func (c *conditionFlags) read() (admin.Conditions, error) {
	for name, value := range map[string]*string{"since": &c.Since, "until": &c.Until} {
		at, err := parseTime(*value, time.Now())
		if err != nil {
			return c.Conditions, fmt.Errorf("--%s: %w", name, err)
		}
		if !at.IsZero() {
			*value = at.UTC().Format(time.RFC3339)
		}
	}
	return c.Conditions, nil
}

// parseTime reads a time, a local date, or a duration before now. Nothing is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := caddy.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.DateTime} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date such as 2026-11-27, no time such as 2026-11-27T15:04:05Z, "+
		"and no duration such as 24h or 7d", text)
}

func (o *adminFlags) listCommand() *cobra.Command {
	cmd := o.addJSON(&cobra.Command{Use: "list", Short: "Lists entries, the newest first", Args: cobra.NoArgs})
	var conditions conditionFlags
	conditions.addTo(cmd)
	limit := cmd.Flags().Int("limit", admin.DefaultLimit, "How many entries to list, 1000 at most")
	before := cmd.Flags().String("before", "", "Only those before an entry: lists the next page")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := conditions.read()
		if err != nil {
			return err
		}
		if c.Limit, c.Before = *limit, *before; c.Limit < 1 {
			return errors.New("--limit must be 1 or more")
		}
		return o.list(cmd, c)
	}
	return printErrors(cmd)
}

func (o *adminFlags) list(cmd *cobra.Command, c admin.Conditions) error {
	var entries []outbox.Entry
	if err := o.call(http.MethodPost, "outbox/search", c, &entries); err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, entries)
	}
	if err := printEntries(cmd, entries); err != nil {
		return err
	}
	if len(entries) == c.Limit {
		fmt.Fprintf(cmd.ErrOrStderr(), "There may be more: --before %s\n", entries[len(entries)-1].ID)
	}
	return nil
}

// printEntries prints a table of entries. It has recipients, and Mandrill's ids of the messages to them, only where
// addresses are kept (log_recipients).
func printEntries(cmd *cobra.Command, entries []outbox.Entry) error {
	named := func(r outbox.Recipient) bool { return r.Email != "" }
	addressed := slices.ContainsFunc(entries, func(e outbox.Entry) bool { return slices.ContainsFunc(e.Outcome, named) })
	columns := []string{"ID", "ACCEPTED", "STATE", "ATTEMPTS", "SENDER", "TEMPLATE", "HEARD"}
	if addressed {
		columns = append(columns, "RECIPIENT", "MESSAGE")
	}
	table := newTable(cmd, append(columns, "REASON")...)
	for _, e := range entries {
		heard := ""
		if n := len(e.Events); n > 0 {
			heard = e.Events[n-1].Event
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t",
			e.ID, e.Accepted.Local().Format(time.DateTime), e.State, len(e.Attempts),
			oneLine(e.Sender), oneLine(e.Template), heard)
		if addressed {
			var to, ids []string
			for _, recipient := range e.Outcome {
				to, ids = append(to, recipient.Email), append(ids, recipient.ID)
			}
			fmt.Fprintf(table, "%s\t%s\t", oneLine(strings.Join(to, ", ")), oneLine(strings.Join(ids, ", ")))
		}
		fmt.Fprintln(table, oneLine(e.Reason))
	}
	return table.Flush()
}

func (o *adminFlags) showCommand() *cobra.Command {
	cmd := o.addJSON(&cobra.Command{
		Use: "show <id>", Short: "Shows an entry with its attempts, Mailchimp's answer and later events, as JSON",
		Args: cobra.ExactArgs(1),
	})
	content := cmd.Flags().Bool("content", false,
		"Show the content too: the mail or the change of an audience, or the ctx of an unrendered entry")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var entry json.RawMessage
		path := "outbox/" + url.PathEscape(args[0]) + "?content=" + strconv.FormatBool(*content)
		if err := o.call(http.MethodGet, path, nil, &entry); err != nil {
			return err
		}
		return printJSON(cmd, entry)
	}
	return printErrors(cmd)
}

func (o *adminFlags) forget(cmd *cobra.Command, address string) error {
	var answer admin.Forgotten
	if err := o.call(http.MethodPost, "outbox/forget", admin.Recipient{Recipient: address}, &answer); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s forgotten\n", admin.Entries(answer.Forgotten))
	if answer.Forgotten == 0 {
		return errors.New("the outbox has no entry to this address: is it spelled as the mail's recipient was?")
	}
	return nil
}

func (o *adminFlags) pauseCommand(what, done, short string) *cobra.Command {
	cmd := &cobra.Command{Use: what + " <sender> | --template <template>", Short: short, Args: cobra.MaximumNArgs(1)}
	template := cmd.Flags().String("template", "", "The template, as the configuration names it or by its file's name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (*template == "") == (len(args) == 0) {
			return errors.New("name either a sender or --template")
		}
		name, path, body := *template, "templates/"+what, any(admin.Template{Template: *template})
		if name == "" {
			name, path, body = args[0], "senders/"+url.PathEscape(args[0])+"/"+what, nil
		}
		if err := o.call(http.MethodPost, path, body, nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", name, done)
		return nil
	}
	return printErrors(cmd)
}
