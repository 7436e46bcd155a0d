package command

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func statusCommand() *cobra.Command {
	o := new(adminFlags)
	cmd := o.addJSON(&cobra.Command{
		Use:   "status",
		Short: "Shows whether mail is being delivered, and what needs your attention",
		Long: `
Asks the running Caddy whether it stores hooks and delivers mail and changes of
audiences. The first line is the answer. The command exits with status 1 if
something is not being delivered. The sender of an audience is list:<id>.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.status(cmd) },
	})
	o.addTo(cmd)
	return printErrors(cmd)
}

// What is not being delivered.
var (
	errNoMail = errors.New("mail is not being delivered")
	errNoList = errors.New("changes of audiences are not being delivered")
	errNone   = errors.New("neither mail nor changes of audiences are being delivered")
)

// headline says in one line what is being delivered. Its error says what is not.
func headline(s admin.Status) (string, error) {
	ofList := func(sender string) bool { return strings.HasPrefix(sender, caddymodule.ListPrefix) }
	ofMail := func(sender string) bool { return !ofList(sender) }
	named := append(slices.Clone(s.Stopped), s.Senders...)
	lists, mails := slices.ContainsFunc(named, ofList), slices.ContainsFunc(named, ofMail)
	noList, noMail := slices.ContainsFunc(s.Stopped, ofList), slices.ContainsFunc(s.Stopped, ofMail)
	sentence := func(err error) string { return strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + "." }
	switch {
	case s.Flows && lists && mails:
		return "Mail and changes of audiences are being delivered.", nil
	case s.Flows && lists:
		return "Changes of audiences are being delivered.", nil
	case s.Flows:
		return "Mail is being delivered.", nil
	case noList && noMail:
		return sentence(errNone), errNone
	case noList && mails:
		return sentence(errNoList) + " Mail is.", errNoList
	case noList:
		return sentence(errNoList), errNoList
	case lists:
		return sentence(errNoMail) + " Changes of audiences are.", errNoMail
	}
	return sentence(errNoMail), errNoMail
}

func (o *adminFlags) status(cmd *cobra.Command) error {
	var s admin.Status
	if err := o.call(http.MethodGet, "status", nil, &s); err != nil {
		return err
	}
	line, broken := headline(s)
	if !o.asJSON {
		fmt.Fprintln(cmd.OutOrStdout(), line)
		printStatus(cmd, s)
	} else if err := printJSON(cmd, s); err != nil {
		return err
	}
	return broken
}

// printStatus prints for people what stands below the headline.
func printStatus(cmd *cobra.Command, s admin.Status) {
	w := cmd.OutOrStdout()
	for _, line := range append(s.Troubles, s.Attention...) {
		fmt.Fprintln(w, "- "+printable(line))
	}
	fmt.Fprintf(w, "\nOutbox: %s\n", s.Outbox)
	switch {
	case s.Outbox == "off":
	case s.Counts == nil:
		fmt.Fprintln(w, "How many entries it has is unknown: its database does not answer.")
	default:
		table := newTable(cmd, "STATE", "ENTRIES", "OLDEST")
		for _, state := range outbox.States {
			fmt.Fprintf(table, "%s\t%d\t%s\n", state, s.Counts[state], since(s.Oldest[state]))
		}
		_ = table.Flush()
	}
	fmt.Fprintln(w)
	table := newTable(cmd, "SENDER", "WAITING", "STATE", "KEY")
	for _, sender := range s.Senders {
		state := "sends"
		switch hold, held := s.Holds[sender]; {
		case held && hold.Paused:
			state = "paused"
		case held:
			state = "held for " + since(hold.Since)
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", sender, s.Waiting[sender], state, keyEnding(s.Keys[sender]))
	}
	for sender, n := range s.Unknown {
		fmt.Fprintf(table, "%s\t%d\thas no account\n", oneLine(sender), n)
	}
	_ = table.Flush()
	fmt.Fprintln(w)
	table = newTable(cmd, "TEMPLATE", "VERSION", "LOADED", "STATE")
	for _, t := range s.Templates {
		state := "in force"
		if t.Error != "" {
			state = "broken on disk: " + printable(t.Error)
		}
		fmt.Fprintf(table, "%s\t%s\t%s ago\t%s\n", t.Template, t.Version, since(t.LoadedAt), state)
	}
	_ = table.Flush()
	printActivity(cmd, s)
	if last := s.LastError; last != nil {
		entry := last.Sender
		if last.Entry != "" {
			entry = "entry " + last.Entry
		}
		fmt.Fprintf(w, "\nLast error: %s, %s, %s: %s\n",
			last.Time.Local().Format(time.DateTime), entry, last.Event, printable(last.Reason))
	}
}

// printActivity prints what has reached this Caddy since it started.
func printActivity(cmd *cobra.Command, s admin.Status) {
	w := cmd.OutOrStdout()
	fmt.Fprintln(w)
	table := newTable(cmd, "HOOK", "TEMPLATE", "CALLS", "LAST CALLED", "ANSWER", "PATH")
	for _, h := range s.Hooks {
		last, status := "never since this start", ""
		if h.Calls > 0 {
			last, status = since(h.LastCalled)+" ago", strconv.Itoa(h.LastStatus)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n",
			h.Directive, oneLine(h.Template), h.Calls, last, status, oneLine(h.LastPath))
	}
	_ = table.Flush()
	if e := s.Events; e != nil {
		last := "none since this start"
		if e.Heard > 0 {
			last = fmt.Sprintf("%d since this start, the last %s ago", e.Heard, since(e.LastHeard))
		}
		fmt.Fprintf(w, "\nEvents of Mandrill: %s; %d calls refused\n", last, e.Refused)
	}
}

// keyEnding tells keys apart by their ends. A short key shows none.
func keyEnding(ending string) string {
	if ending == "" {
		return ""
	}
	return "key ending in " + ending
}

func sendTestCommand() *cobra.Command {
	o := new(adminFlags)
	var from string
	cmd := o.addJSON(&cobra.Command{
		Use:   "send-test <address>",
		Short: "Sends a test mail with the running Caddy's account",
		Long: `
Has the running Caddy send a mail to the address, without the outbox, and shows
what Mandrill answered. The command exits with status 1 if Mandrill does not
accept the mail.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.sendTest(cmd, admin.TestMail{To: args[0], From: from})
		},
	})
	cmd.Flags().StringVar(&from, "from", "", "The sender's address; its domain must be a sender_domain")
	o.addTo(cmd)
	return printErrors(cmd)
}

func (o *adminFlags) sendTest(cmd *cobra.Command, mail admin.TestMail) error {
	var answer admin.TestResult
	if err := o.call(http.MethodPost, "send-test", mail, &answer); err != nil {
		return err
	}
	if o.asJSON {
		if err := printJSON(cmd, answer); err != nil {
			return err
		}
	}
	text := answer.Status
	if answer.Reason != "" {
		text += ": " + answer.Reason
	}
	if answer.Remedy != "" && !answer.Sent {
		text += ": " + answer.Remedy
	}
	key := ""
	if answer.Key != "" {
		key = ", " + keyEnding(answer.Key)
	}
	switch {
	case !answer.Sent:
		//nolint:staticcheck // Mandrill is a name
		return fmt.Errorf("Mandrill did not accept the mail from %s: %s%s", answer.From, text, key)
	case !o.asJSON:
		fmt.Fprintf(cmd.OutOrStdout(), "Mandrill accepted the mail from %s: %s (%s)%s\n",
			answer.From, text, answer.ID, key)
	}
	return nil
}
