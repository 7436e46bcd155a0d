package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func showEntry(w http.ResponseWriter, r *http.Request) error {
	app, box, err := runningOutbox()
	if err != nil {
		return err
	}
	withContent := false
	if asked := r.URL.Query().Get("content"); asked != "" {
		if withContent, err = strconv.ParseBool(asked); err != nil {
			return problem(http.StatusBadRequest, "content must be true or false")
		}
	}
	entry, err := box.Get(r.Context(), r.PathValue("id"))
	if errors.Is(err, outbox.ErrNotFound) {
		return noEntry(r.PathValue("id"))
	}
	if err != nil {
		return err
	}
	entry.Outcome = app.RedactOutcome(entry.Outcome)
	shown := Entry{Entry: entry}
	if withContent && json.Valid(entry.Content) {
		shown.Content = entry.Content
	}
	return writeJSON(w, shown)
}

func discardEntry(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	err = box.Discard(r.Context(), id)
	if errors.Is(err, outbox.ErrNotFound) {
		err = whyNot(r, box, id, "this is for entries that wait, are dead or are unrendered")
	}
	return writeDone(w, err)
}

// whyNot says why an entry could not be changed.
func whyNot(r *http.Request, box *outbox.Outbox, id, rule string) error {
	entry, err := box.Get(r.Context(), id)
	if err != nil {
		return noEntry(id)
	}
	return problem(http.StatusConflict, "entry %s is %s: %s", id, entry.State, rule)
}

func noEntry(id string) error { return problem(http.StatusNotFound, "there is no such entry: %s", id) }

func discardEntries(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var c Conditions
	if err := readJSON(r, &c); err != nil {
		return err
	}
	f, err := c.picking()
	if err != nil {
		return err
	}
	lines := progressLines{w: w}
	p, err := box.DiscardAll(r.Context(), f, lines.show)
	return lines.end(Changed{Progress: p}, err)
}

// picking returns the filter of a change of many entries.
func (c Conditions) picking() (outbox.Filter, error) {
	all := c.All
	c.All = false
	switch {
	case all != c.Empty():
		return outbox.Filter{}, problem(http.StatusBadRequest, `name at least one condition, or {"all": true}`)
	case c.Before != "" || c.Limit != 0:
		return outbox.Filter{}, problem(http.StatusBadRequest, "before and limit are for lists")
	}
	return c.filter()
}

// progressLines answers lines of JSON: the progress, and at the end the result. A change stops if its caller goes away.
type progressLines struct {
	w     http.ResponseWriter
	began bool
}

func (l *progressLines) show(p outbox.Progress) { l.write(p) }

// end writes the last line. An error is returned if no line was written before.
func (l *progressLines) end(c Changed, err error) error {
	switch {
	case err == nil:
		c.Finished = true
	case !l.began:
		return err
	default:
		c.Error = err.Error()
	}
	l.write(c)
	return nil
}

func (l *progressLines) write(line any) {
	if !l.began {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.began = true
	}
	_ = json.NewEncoder(l.w).Encode(line) // if the caller is gone, the request's context ends
	_ = http.NewResponseController(l.w).Flush()
}

func forgetRecipient(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var body Recipient
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if !isRecipient(body.Recipient) {
		return problem(http.StatusBadRequest, `the body must be {"recipient": "<address>"}, with an address such as `+
			`ada@example.com, or a hash as an entry shows it`)
	}
	n, err := box.Forget(r.Context(), body.Recipient)
	if err != nil {
		return err
	}
	return writeJSON(w, Forgotten{n})
}
