package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func (o *adminFlags) retryCommand() *cobra.Command {
	again := new(bool)
	cmd := o.changeCommand("retry", "Queues entries for immediate delivery, and shows what becomes of them",
		func() admin.RetryMany {
			return admin.RetryMany{RetryOne: admin.RetryOne{Again: *again}, Follow: true}
		})
	cmd.Long = `
Queues entries for immediate delivery, in any state but sending and backlogged,
as long as their content is there. Shows what has become of them after a few
seconds. Entries that are sent or uncertain need --again: people may get a mail
twice. If some recipients of a mail were accepted, only the others get it.`
	cmd.Flags().BoolVar(again, "again", false, "Retry entries too that are sent or uncertain")
	return cmd
}

func (o *adminFlags) discardCommand() *cobra.Command {
	return o.changeCommand("discard", "Removes waiting, dead or unrendered entries", nil)
}

// changeCommand is a command that changes entries, named by id or picked by conditions. retrying returns how they are
// retried, if they are.
func (o *adminFlags) changeCommand(what, short string, retrying func() admin.RetryMany) *cobra.Command {
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
		picks := !c.Empty()
		c.All = *all
		body := any(c)
		if retrying != nil {
			many := retrying()
			many.Conditions = c
			body = many
		}
		switch {
		case len(ids) > 0 && (picks || *all):
			return errors.New("name ids or conditions, not both")
		case len(ids) > 0 && retrying != nil:
			return o.retryByID(cmd, ids, retrying().RetryOne)
		case len(ids) > 0:
			done, err := o.changeByID(cmd, ids, what, nil)
			return o.reportByID(cmd, ids, done, nil, err)
		case picks == *all:
			return errors.New("name ids, conditions or --all")
		}
		return o.changeMatching(cmd, what, body)
	}
	return printErrors(cmd)
}

// changeByID changes each of the entries, names those that it could not change, and returns the others.
func (o *adminFlags) changeByID(cmd *cobra.Command, ids []string, what string, body any) ([]string, error) {
	var done, failed []string
	for _, id := range ids {
		if err := o.call(http.MethodPost, "outbox/"+url.PathEscape(id)+"/"+what, body, nil); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			failed = append(failed, id)
			continue
		}
		done = append(done, id)
	}
	if len(failed) > 0 {
		return done, errors.New("failed for " + strings.Join(failed, ", "))
	}
	return done, nil
}

// reportByID prints JSON about entries that were named by id, if that is asked for.
func (o *adminFlags) reportByID(cmd *cobra.Command, ids, done []string, states map[outbox.State]int, err error) error {
	if !o.asJSON {
		return err
	}
	p := outbox.Progress{Total: len(ids), Done: len(done), Skipped: len(ids) - len(done)}
	return errors.Join(err, printJSON(cmd, admin.Changed{Progress: p, Finished: true, States: states}))
}

const (
	// followFor is how long a command waits for what becomes of retried entries, and followEvery how often it asks.
	followFor   = 5 * time.Second
	followEvery = 200 * time.Millisecond
)

// retryByID retries entries, and shows what becomes of them: of one its state and reason, of many their states.
func (o *adminFlags) retryByID(cmd *cobra.Command, ids []string, how admin.RetryOne) error {
	done, failed := o.changeByID(cmd, ids, "retry", how)
	deadline := time.Now().Add(followFor)
	states := make(map[outbox.State]int)
	for _, id := range done {
		e, err := o.follow(id, deadline)
		if err != nil {
			return errors.Join(failed, err)
		}
		states[e.State]++
		if len(ids) == 1 && !o.asJSON {
			fmt.Fprintln(cmd.OutOrStdout(), describeEntry(e))
		}
	}
	if len(ids) > 1 && !o.asJSON {
		fmt.Fprintf(cmd.OutOrStdout(), "retry: %d of %s: %s\n", len(done), admin.Entries(len(ids)), countStates(states))
	}
	return o.reportByID(cmd, ids, done, states, failed)
}

// follow asks for an entry until it has ended or waits again.
func (o *adminFlags) follow(id string, deadline time.Time) (outbox.Entry, error) {
	for {
		var e outbox.Entry
		if err := o.call(http.MethodGet, "outbox/"+url.PathEscape(id), nil, &e); err != nil {
			return e, err
		}
		underWay := e.State == outbox.Sending ||
			(e.State == outbox.Pending || e.State == outbox.Retrying) && !e.Due.After(time.Now())
		if !underWay || time.Now().After(deadline) {
			return e, nil
		}
		time.Sleep(followEvery)
	}
}

// describeEntry says in one line what state an entry is in, and why.
func describeEntry(e outbox.Entry) string {
	text := fmt.Sprintf("%s is %s", e.ID, e.State)
	if e.Reason != "" {
		text += ": " + printable(e.Reason)
	}
	if e.Due.After(time.Now()) {
		text += " (next attempt at " + e.Due.Local().Format(time.DateTime) + ")"
	} else if e.State == outbox.Pending || e.State == outbox.Retrying {
		text += " (it waits: see caddy mailchimp status)"
	}
	return text
}

// countStates is how many entries are in each state, in words.
func countStates(states map[outbox.State]int) string {
	var texts []string
	for _, state := range outbox.States {
		if n := states[state]; n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(texts, ", ")
}

// changeMatching changes all entries that meet the conditions of the body, and shows the progress.
func (o *adminFlags) changeMatching(cmd *cobra.Command, what string, body any) error {
	response, err := o.request(http.MethodPost, "outbox/"+what, body)
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
			return fmt.Errorf("the running Caddy broke off after %s: %w", admin.Entries(last.Done), err)
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
		printChanged(cmd, what, last)
	}
	if last.Error != "" {
		return errors.New(last.Error)
	}
	if !last.Finished {
		return errors.New("the running Caddy broke off: run it again")
	}
	return nil
}

func printChanged(cmd *cobra.Command, what string, c admin.Changed) {
	text := fmt.Sprintf("%s: %d of %s", what, c.Done, admin.Entries(c.Total))
	if c.Skipped > 0 {
		text += fmt.Sprintf(", %d were not in a state for it", c.Skipped)
	}
	if states := countStates(c.States); states != "" {
		text += ": " + states
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
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
