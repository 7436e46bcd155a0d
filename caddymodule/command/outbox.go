package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

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
		o.changeCommand("retry", "Queues waiting, dead or unrendered entries for immediate delivery"),
		o.changeCommand("discard", "Removes waiting, dead or unrendered entries"),
		printErrors(&cobra.Command{
			Use: "forget <address>", Short: "Erases all entries to an address", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return o.forget(cmd, args[0]) },
		}),
		o.pauseCommand("pause", "is paused",
			"Keeps back the entries of a sender domain, or of an audience (list:<id>), until you resume it"),
		o.pauseCommand("resume", "sends again",
			"Ends the pause of a sender domain or of an audience (list:<id>)"),
		moveCommand(o), newKeyCommand(), o.backupCommand(),
	)
	return printErrors(cmd)
}

// conditionFlags are flags that pick entries.
type conditionFlags struct{ admin.Conditions }

func (c *conditionFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar((*string)(&c.State), "state", "",
		fmt.Sprintf("Only those in a state, one of %v", outbox.States))
	flags.StringVar(&c.Sender, "sender", "", "Only those of a sender domain, or of an audience (list:<id>)")
	flags.StringVar(&c.Template, "template", "", "Only those of a template, as the configuration names it")
	flags.StringVar(&c.Recipient, "recipient", "", "Only those to a recipient, named by address or hash")
	flags.StringVar(&c.Reason, "reason", "", "Only those whose reason contains this text")
	flags.StringVar(&c.Since, "since", "",
		"Only those accepted since a time, such as 2006-01-02T15:04:05Z, or within a duration, such as 24h")
	flags.StringVar(&c.Until, "until", "", "Only those accepted before a time, or longer ago than a duration")
}

// read returns the conditions with times in place of durations.
func (c *conditionFlags) read() (admin.Conditions, error) {
	for name, value := range map[string]*string{"since": &c.Since, "until": &c.Until} {
		if ago, err := time.ParseDuration(*value); err == nil {
			*value = time.Now().Add(-ago).UTC().Format(time.RFC3339)
		} else if _, err := time.Parse(time.RFC3339, *value); *value != "" && err != nil {
			return c.Conditions, fmt.Errorf(
				"--%s must be a time such as 2006-01-02T15:04:05Z, or a duration such as 24h", name)
		}
	}
	return c.Conditions, nil
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
	table := newTable(cmd, "ID", "ACCEPTED", "STATE", "ATTEMPTS", "SENDER", "TEMPLATE", "HEARD", "REASON")
	for _, e := range entries {
		heard := ""
		if n := len(e.Events); n > 0 {
			heard = e.Events[n-1].Event
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n",
			e.ID, e.Accepted.Local().Format(time.DateTime), e.State, len(e.Attempts),
			oneLine(e.Sender), oneLine(e.Template), heard, oneLine(e.Reason))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(entries) == c.Limit {
		fmt.Fprintf(cmd.ErrOrStderr(), "There may be more: --before %s\n", entries[len(entries)-1].ID)
	}
	return nil
}

func (o *adminFlags) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show <id>", Short: "Shows an entry with its attempts, Mailchimp's answer and later events",
		Args: cobra.ExactArgs(1),
	}
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

// changeCommand is a command that changes entries, named by id or picked by conditions.
func (o *adminFlags) changeCommand(what, short string) *cobra.Command {
	cmd := o.addJSON(&cobra.Command{
		Use: what + " [<id>...]", Short: short,
		Example: "caddy mailchimp outbox " + what + " 06h1slnn3pgkfrfg8on8fng\n" +
			"caddy mailchimp outbox " + what + " --state dead --since 24h",
	})
	var conditions conditionFlags
	conditions.addTo(cmd)
	all := cmd.Flags().Bool("all", false, "Change all entries")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		c, err := conditions.read()
		if err != nil {
			return err
		}
		switch picks := c != (admin.Conditions{}); {
		case len(ids) > 0 && (picks || *all):
			return errors.New("name ids or conditions, not both")
		case len(ids) > 0:
			return o.changeByID(cmd, ids, what)
		case picks == *all:
			return errors.New("name ids, conditions or --all")
		}
		c.All = *all
		return o.changeMatching(cmd, what, c)
	}
	return printErrors(cmd)
}

// changeByID changes each of the entries, and names those that it could not change.
func (o *adminFlags) changeByID(cmd *cobra.Command, ids []string, what string) error {
	var failed []string
	for _, id := range ids {
		if err := o.call(http.MethodPost, "outbox/"+url.PathEscape(id)+"/"+what, nil, nil); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			failed = append(failed, id)
		}
	}
	if o.asJSON {
		done := outbox.Progress{Total: len(ids), Done: len(ids) - len(failed), Skipped: len(failed)}
		if err := printJSON(cmd, admin.Changed{Progress: done, Finished: true}); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return errors.New("failed for " + strings.Join(failed, ", "))
	}
	return nil
}

// changeMatching changes all entries that meet the conditions, and shows the progress.
func (o *adminFlags) changeMatching(cmd *cobra.Command, what string, c admin.Conditions) error {
	response, err := o.request(http.MethodPost, "outbox/"+what, c)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	meter := newMeter(cmd)
	var last admin.Changed
	for lines := json.NewDecoder(response.Body); ; {
		var line admin.Changed
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("the running Caddy broke off after %d entries: %w", last.Done, err)
		}
		last = line
		meter.show(line.Progress)
	}
	meter.end()
	if o.asJSON {
		if err := printJSON(cmd, last); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries of %d", what, last.Done, last.Total)
		if last.Skipped > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), ", %d were not in a state for it", last.Skipped)
		}
		fmt.Fprintln(cmd.OutOrStdout())
	}
	if last.Error != "" {
		return errors.New(last.Error)
	}
	if !last.Finished {
		return errors.New("the running Caddy broke off: run it again")
	}
	return nil
}

func (o *adminFlags) forget(cmd *cobra.Command, address string) error {
	var answer admin.Forgotten
	if err := o.call(http.MethodPost, "outbox/forget", admin.Recipient{Recipient: address}, &answer); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d entries forgotten\n", answer.Forgotten)
	return nil
}

func (o *adminFlags) pauseCommand(what, done, short string) *cobra.Command {
	return printErrors(&cobra.Command{
		Use: what + " <sender>", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.call(http.MethodPost, "senders/"+url.PathEscape(args[0])+"/"+what, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], done)
			return nil
		},
	})
}

// meter shows progress on a terminal, once a second.
type meter struct {
	cmd   *cobra.Command
	shown time.Time
	drawn bool
}

func newMeter(cmd *cobra.Command) *meter { return &meter{cmd: cmd, shown: time.Now()} }

func (m *meter) show(p outbox.Progress) {
	stderr, err := os.Stderr.Stat()
	if err != nil || stderr.Mode()&os.ModeCharDevice == 0 || time.Since(m.shown) < time.Second {
		return
	}
	m.shown, m.drawn = time.Now(), true
	fmt.Fprintf(m.cmd.ErrOrStderr(), "\r%d of %d ", p.Done+p.Skipped, p.Total)
}

func (m *meter) end() {
	if m.drawn {
		fmt.Fprintln(m.cmd.ErrOrStderr())
	}
}
