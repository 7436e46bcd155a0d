package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// maxLimit is how many entries a page may have.
const maxLimit = 1000

// filter checks the conditions.
func (c Conditions) filter() (outbox.Filter, error) {
	bad := func(name, want string) (outbox.Filter, error) {
		return outbox.Filter{}, problem(http.StatusBadRequest, "%s must be %s", name, want)
	}
	f := outbox.Filter{
		Event: strings.ToLower(c.Event), Sender: c.Sender, Template: c.Template, Recipient: c.Recipient, Reason: c.Reason,
		Before: c.Before, Limit: c.Limit,
	}
	if f.Limit < 0 || f.Limit > maxLimit {
		return bad("limit", fmt.Sprintf("a number from 1 to %d", maxLimit))
	}
	for _, name := range c.State {
		state := outbox.State(strings.ToLower(name))
		if !state.Valid() {
			return bad("state", fmt.Sprintf("one of %v", outbox.States))
		}
		f.States = append(f.States, state)
	}
	if f.Event != "" && !slices.Contains(mandrill.EventKinds, f.Event) {
		return bad("event", fmt.Sprintf("one of %v", mandrill.EventKinds))
	}
	if !isRecipient(c.Recipient) && c.Recipient != "" {
		return bad("recipient", "an address such as ada@example.com, or a hash as an entry shows it")
	}
	if c.Before != "" && !outbox.IsID(c.Before) {
		return bad("before", "an entry's id")
	}
	for name, times := range map[string]struct {
		text string
		to   *time.Time
	}{"since": {c.Since, &f.Since}, "until": {c.Until, &f.Until}} {
		if times.text == "" {
			continue
		}
		var err error
		if *times.to, err = time.Parse(time.RFC3339, times.text); err != nil {
			return bad(name, "a time such as 2006-01-02T15:04:05Z")
		}
	}
	return f, nil
}

// addressPattern is the form of an address, or of a telephone number.
var addressPattern = regexp.MustCompile(`^([^\s@<>,;"]+@[^\s@<>,;"]+|\+[0-9]{5,15})$`)

// isRecipient reports whether a text can name a recipient: a typo must not look like somebody without entries.
func isRecipient(text string) bool { return outbox.IsHash(text) || addressPattern.MatchString(text) }

// conditionsOf reads the conditions of a query.
func conditionsOf(query url.Values) (Conditions, error) {
	var c Conditions
	known := map[string]*string{
		"event": &c.Event, "sender": &c.Sender, "template": &c.Template, "recipient": &c.Recipient,
		"reason": &c.Reason, "since": &c.Since, "until": &c.Until, "before": &c.Before,
	}
	for name, values := range query {
		if name == "state" {
			c.State = values
			continue
		}
		if name == "limit" {
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 {
				n = -1
			}
			c.Limit = n
			continue
		}
		to, ok := known[name]
		if !ok {
			return c, problem(http.StatusBadRequest, "there is no condition %s", name)
		}
		*to = values[0]
	}
	if c.Recipient != "" && !outbox.IsHash(c.Recipient) {
		return c, problem(http.StatusBadRequest, `an address doesn't belong into a URL, which may be logged: `+
			`POST {"recipient": "<address>"} to %soutbox/search`, Path)
	}
	return c, nil
}

// backUp copies the outbox to a file of this machine.
func backUp(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var to Backup
	if err := readJSON(r, &to); err != nil {
		return err
	}
	if !filepath.IsAbs(to.File) {
		return problem(http.StatusBadRequest, "file must be an absolute path")
	}
	return writeDone(w, box.Backup(r.Context(), to.File))
}

// listEntries answers with a page of entries. If there may be more, the header Link names the next page.
func listEntries(w http.ResponseWriter, r *http.Request) error {
	app, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var c Conditions
	if r.Method == http.MethodPost {
		err = readJSON(r, &c)
	} else {
		c, err = conditionsOf(r.URL.Query())
	}
	if err != nil {
		return err
	}
	f, err := c.filter()
	if err != nil {
		return err
	}
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	entries, err := box.List(r.Context(), f)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && len(entries) == f.Limit {
		query := r.URL.Query()
		query.Set("before", entries[len(entries)-1].ID)
		w.Header().Set("Link", fmt.Sprintf("<%soutbox?%s>; rel=\"next\"", Path, query.Encode()))
	}
	for i := range entries {
		entries[i].Outcome = app.RedactOutcome(entries[i].Outcome)
	}
	return writeJSON(w, append([]outbox.Entry{}, entries...))
}
