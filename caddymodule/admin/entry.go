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

func retryEntry(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	return writeDone(w, explainChange(r, box, id, box.Retry(r.Context(), id)))
}

func discardEntry(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	return writeDone(w, explainChange(r, box, id, box.Discard(r.Context(), id)))
}

// explainChange says more about the error of a change of an entry.
func explainChange(r *http.Request, box *outbox.Outbox, id string, err error) error {
	if errors.Is(err, outbox.ErrWiped) {
		return problem(http.StatusConflict, "entry %s: %w", id, err)
	}
	if !errors.Is(err, outbox.ErrNotFound) {
		return err
	}
	entry, err := box.Get(r.Context(), id)
	if err != nil {
		return noEntry(id)
	}
	return problem(http.StatusConflict,
		"entry %s is %s: this is for entries that wait, are dead or are unrendered", id, entry.State)
}

func noEntry(id string) error { return problem(http.StatusNotFound, "there is no such entry: %s", id) }

func retryEntries(w http.ResponseWriter, r *http.Request) error {
	box, f, err := pickEntries(r)
	if err != nil {
		return err
	}
	lines := progressLines{w: w}
	p, err := box.RetryAll(r.Context(), f, lines.show)
	return lines.end(p, err)
}

func discardEntries(w http.ResponseWriter, r *http.Request) error {
	box, f, err := pickEntries(r)
	if err != nil {
		return err
	}
	lines := progressLines{w: w}
	p, err := box.DiscardAll(r.Context(), f, lines.show)
	return lines.end(p, err)
}

// pickEntries reads the conditions of a change of many entries.
func pickEntries(r *http.Request) (*outbox.Outbox, outbox.Filter, error) {
	_, box, err := runningOutbox()
	if err != nil {
		return nil, outbox.Filter{}, err
	}
	var c Conditions
	if err := readJSON(r, &c); err != nil {
		return nil, outbox.Filter{}, err
	}
	f, err := c.filter()
	switch {
	case err != nil:
	case c.All == (f != outbox.Filter{}):
		err = problem(http.StatusBadRequest, `name at least one condition, or {"all": true}`)
	case c.Before != "" || c.Limit != 0:
		err = problem(http.StatusBadRequest, "before and limit are for lists")
	}
	return box, f, err
}

// progressLines answers lines of JSON: the progress, and at the end the result. A change stops if its caller goes away.
type progressLines struct {
	w     http.ResponseWriter
	began bool
}

func (l *progressLines) show(p outbox.Progress) { l.write(p) }

// end writes the last line. An error is returned if no line was written before.
func (l *progressLines) end(p outbox.Progress, err error) error {
	switch {
	case err == nil:
		l.write(Changed{Progress: p, Finished: true})
	case !l.began:
		return err
	default:
		l.write(Changed{Progress: p, Error: err.Error()})
	}
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
	if body.Recipient == "" {
		return problem(http.StatusBadRequest, `the body must be {"recipient": "<address>"}`)
	}
	n, err := box.Forget(r.Context(), body.Recipient)
	if err != nil {
		return err
	}
	return writeJSON(w, Forgotten{n})
}
