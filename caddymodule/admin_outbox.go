package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// conditions pick entries, in a query and in a body.
type conditions struct {
	State    outbox.State `json:"state,omitempty"`
	Sender   string       `json:"sender,omitempty"`
	Template string       `json:"template,omitempty"`
	// Recipient is an address, which may stand in bodies alone, or the hash that an entry has of it.
	Recipient string `json:"recipient,omitempty"`
	// Reason is a part of the reason.
	Reason string `json:"reason,omitempty"`
	Since  string `json:"since,omitempty"`
	Until  string `json:"until,omitempty"`
	// All says that no condition is meant, where that isn't harmless.
	All bool `json:"all,omitempty"`
	// Before and Limit are a page.
	Before string `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// filter checks the conditions.
func (c conditions) filter() (outbox.Filter, error) {
	bad := func(name, want string) (outbox.Filter, error) {
		return outbox.Filter{}, problem(http.StatusBadRequest, "%s must be %s", name, want)
	}
	f := outbox.Filter{
		State: c.State, Sender: c.Sender, Template: c.Template, Recipient: c.Recipient, Reason: c.Reason, Before: c.Before, Limit: c.Limit,
	}
	if f.Limit < 0 || f.Limit > maxLimit {
		return bad("limit", fmt.Sprintf("a number from 1 to %d", maxLimit))
	}
	if f.State != "" && !f.State.Valid() {
		return bad("state", fmt.Sprintf("one of %v", outbox.States))
	}
	if _, err := strconv.ParseInt(c.Before, 10, 64); c.Before != "" && err != nil {
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

// conditionsOf reads those of a query.
func conditionsOf(query url.Values) (conditions, error) {
	var c conditions
	known := map[string]*string{
		"state": (*string)(&c.State), "sender": &c.Sender, "template": &c.Template, "recipient": &c.Recipient, "reason": &c.Reason,
		"since": &c.Since, "until": &c.Until, "before": &c.Before,
	}
	for name, values := range query {
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
		return c, problem(http.StatusBadRequest, `an address doesn't belong into a URL, which may be logged: POST {"recipient": "<address>"} to %soutbox/search`, adminPath)
	}
	return c, nil
}

// listEntries answers a page of entries. Where there may be more, the header Link names the next one.
func listEntries(w http.ResponseWriter, r *http.Request) error {
	box, err := liveOutbox()
	if err != nil {
		return err
	}
	var c conditions
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
		f.Limit = defaultLimit
	}
	entries, err := box.List(r.Context(), f)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && len(entries) == f.Limit {
		query := r.URL.Query()
		query.Set("before", entries[len(entries)-1].ID)
		w.Header().Set("Link", fmt.Sprintf("<%soutbox?%s>; rel=\"next\"", adminPath, query.Encode()))
	}
	if app := Running(); app != nil {
		for i := range entries {
			entries[i].Outcome = app.RedactOutcome(entries[i].Outcome)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(append([]outbox.Entry{}, entries...))
}

// shownEntry is an entry, with its content where that was asked for.
type shownEntry struct {
	outbox.Entry
	Content json.RawMessage `json:"content,omitempty"`
}

func showEntry(r *http.Request) (any, error) {
	box, err := liveOutbox()
	if err != nil {
		return nil, err
	}
	withContent := false
	if asked := r.URL.Query().Get("content"); asked != "" {
		if withContent, err = strconv.ParseBool(asked); err != nil {
			return nil, problem(http.StatusBadRequest, "content must be true or false")
		}
	}
	entry, err := box.Get(r.Context(), r.PathValue("id"))
	if errors.Is(err, outbox.ErrNotFound) {
		return nil, noEntry(r.PathValue("id"))
	}
	if err != nil {
		return nil, err
	}
	if app := Running(); app != nil {
		entry.Outcome = app.RedactOutcome(entry.Outcome)
	}
	shown := shownEntry{Entry: entry}
	if withContent && json.Valid(entry.Content) {
		shown.Content = entry.Content
	}
	return shown, nil
}

func retryEntry(r *http.Request) (any, error) { return changeEntry(r, (*outbox.Outbox).Retry) }

func discardEntry(r *http.Request) (any, error) { return changeEntry(r, (*outbox.Outbox).Discard) }

func changeEntry(r *http.Request, change func(*outbox.Outbox, context.Context, string) error) (any, error) {
	box, err := liveOutbox()
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	err = change(box, r.Context(), id)
	if errors.Is(err, outbox.ErrWiped) {
		return nil, problem(http.StatusConflict, "entry %s: %w", id, err)
	}
	if errors.Is(err, outbox.ErrNotFound) {
		if entry, getErr := box.Get(r.Context(), id); getErr == nil {
			return nil, problem(http.StatusConflict, "entry %s is %s: this is for entries that wait, are dead or are unrendered", id, entry.State)
		}
		return nil, noEntry(id)
	}
	return nil, err
}

func noEntry(id string) error { return problem(http.StatusNotFound, "there is no such entry: %s", id) }

// changed is the last line of the answer to a change of many entries.
type changed struct {
	outbox.Progress
	Finished bool   `json:"finished"`
	Error    string `json:"error,omitempty"`
}

// changeEntries changes all entries that match. It answers lines of JSON: how far it is, and at the end what
// came of it. It stops where the caller goes.
func changeEntries(change func(*outbox.Outbox, context.Context, outbox.Filter, func(outbox.Progress)) (outbox.Progress, error)) adminHandler {
	return func(w http.ResponseWriter, r *http.Request) error {
		box, err := liveOutbox()
		if err != nil {
			return err
		}
		var c conditions
		if err := readJSON(r, &c); err != nil {
			return err
		}
		f, err := c.filter()
		if err != nil {
			return err
		}
		switch {
		case c.All == (f != outbox.Filter{}):
			return problem(http.StatusBadRequest, `name at least one condition, or {"all": true}`)
		case c.Before != "" || c.Limit != 0:
			return problem(http.StatusBadRequest, "before and limit are for lists")
		}
		encoder, began := json.NewEncoder(w), false
		say := func(line any) {
			if !began {
				w.Header().Set("Content-Type", "application/x-ndjson")
				began = true
			}
			_ = encoder.Encode(line) // where the caller has gone, the context ends
			_ = http.NewResponseController(w).Flush()
		}
		p, err := change(box, r.Context(), f, func(p outbox.Progress) { say(p) })
		switch {
		case err == nil:
			say(changed{Progress: p, Finished: true})
		case !began:
			return err
		default:
			say(changed{Progress: p, Error: err.Error()})
		}
		return nil
	}
}

func forgetRecipient(r *http.Request) (any, error) {
	box, err := liveOutbox()
	if err != nil {
		return nil, err
	}
	var body struct {
		Recipient string `json:"recipient"`
	}
	if err := readJSON(r, &body); err != nil {
		return nil, err
	}
	if body.Recipient == "" {
		return nil, problem(http.StatusBadRequest, `the body must be {"recipient": "<address>"}`)
	}
	n, err := box.Forget(r.Context(), body.Recipient)
	return map[string]int{"forgotten": n}, err
}

func pauseSender(change func(*outbox.Outbox, context.Context, string) error) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		box, err := liveOutbox()
		if err != nil {
			return nil, err
		}
		sender := strings.ToLower(r.PathValue("sender"))
		if known := Running().Senders(); !slices.Contains(known, sender) && !box.Holds()[sender].Paused {
			return nil, problem(http.StatusNotFound, "there is no sender %s: known are %s", sender, strings.Join(known, ", "))
		}
		return nil, change(box, r.Context(), sender)
	}
}
