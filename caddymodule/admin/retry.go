package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

const (
	// followFor is how long an answer waits for what becomes of retried entries, and followEvery how often it looks.
	followFor   = 5 * time.Second
	followEvery = 200 * time.Millisecond
)

const retryRule = "only entries that are neither being sent nor backlogged can be retried"

func retryEntry(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var how RetryOne
	if r.ContentLength != 0 {
		if err := readJSON(r, &how); err != nil {
			return err
		}
	}
	id := r.PathValue("id")
	err = box.Retry(r.Context(), id, how.options()...)
	switch {
	case errors.Is(err, outbox.ErrWiped):
		err = problem(http.StatusConflict, "entry %s: %w", id, err)
	case errors.Is(err, outbox.ErrAgain):
		err = whyNot(r, box, id, `it may have gone out already: to retry it all the same, say --again, or {"again": true}`)
	case errors.Is(err, outbox.ErrNotFound):
		err = whyNot(r, box, id, retryRule)
	}
	return writeDone(w, err)
}

func (how RetryOne) options() []outbox.RetryOption {
	if how.Again {
		return []outbox.RetryOption{outbox.Again}
	}
	return nil
}

func retryEntries(w http.ResponseWriter, r *http.Request) error {
	_, box, err := runningOutbox()
	if err != nil {
		return err
	}
	var many RetryMany
	if err := readJSON(r, &many); err != nil {
		return err
	}
	f, err := many.picking()
	if err != nil {
		return err
	}
	var queued []string
	options := append(many.options(), outbox.Queued(func(ids []string) { queued = append(queued, ids...) }))
	lines := progressLines{w: w}
	var c Changed
	c.Progress, err = box.RetryAll(r.Context(), f, lines.show, options...)
	if err == nil && many.Follow {
		c.States, err = follow(r.Context(), box, queued)
	}
	return lines.end(c, err)
}

// follow counts entries by state when each has ended or waits for another attempt, or when its patience is over.
func follow(ctx context.Context, box *outbox.Outbox, ids []string) (map[outbox.State]int, error) {
	for deadline := time.Now().Add(followFor); ; {
		began := time.Now()
		counts, underWay, err := box.CountStates(ctx, ids)
		if err != nil || underWay == 0 || time.Now().After(deadline) {
			return counts, err
		}
		select {
		case <-time.After(max(followEvery, 5*time.Since(began))):
		case <-ctx.Done():
			return counts, ctx.Err()
		}
	}
}
