package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func pauseSender(w http.ResponseWriter, r *http.Request) error {
	box, sender, err := findSender(r)
	if err != nil {
		return err
	}
	return writeDone(w, box.Pause(r.Context(), sender))
}

func resumeSender(w http.ResponseWriter, r *http.Request) error {
	box, sender, err := findSender(r)
	if err != nil {
		return err
	}
	return writeDone(w, box.Resume(r.Context(), sender))
}

// findSender returns the sender that the path names. One that the configuration no longer has can still be paused.
func findSender(r *http.Request) (*outbox.Outbox, string, error) {
	app, box, err := runningOutbox()
	if err != nil {
		return nil, "", err
	}
	sender := strings.ToLower(r.PathValue("sender"))
	if known := app.Senders(); !slices.Contains(known, sender) && !box.HoldsBySender()[sender].Paused {
		return nil, "", problem(http.StatusNotFound,
			"there is no sender %s: known are %s", sender, strings.Join(known, ", "))
	}
	return box, sender, nil
}
