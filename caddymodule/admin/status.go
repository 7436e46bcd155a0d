package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// late is the age of a pending entry from which on something must be wrong: it should have been tried long ago.
const late = 5 * time.Minute

func showStatus(w http.ResponseWriter, r *http.Request) error {
	app, err := runningApp()
	if err != nil {
		return err
	}
	return writeJSON(w, StatusOf(r.Context(), app))
}

// StatusOf returns the status of an app.
func StatusOf(ctx context.Context, app *caddymodule.App) Status {
	s := Status{
		Outbox: cmp.Or(app.Outbox.Kind, "sqlite"), Troubles: []string{}, Stopped: []string{}, Attention: []string{},
		LastError: caddymodule.LastOutboxError(), Senders: app.Senders(), Templates: app.Templates(),
		Hooks: app.HookStatuses(), Events: app.EventsStatus(),
		Keys: app.KeyEndings(), Unindexed: app.Unindexed(ctx),
	}
	if box := app.RunningOutbox(); box != nil {
		var err error
		s.Status, err = box.Status(ctx)
		for _, trouble := range s.Status.Troubles {
			s.troubleAll(trouble)
		}
		s.Status.Troubles = nil
		if err != nil && len(s.Troubles) == 0 {
			s.troubleAll(err.Error())
		} else if errors.Is(box.Ready(), outbox.ErrFull) {
			s.troubleAll("the outbox has as many undelivered entries as max_pending allows: hooks get 503")
		}
	}
	s.judgeSenders()
	for _, left := range app.LeftBehind() {
		s.Troubles = append(s.Troubles, fmt.Sprintf("undelivered: %s in the former outbox %[2]s: "+
			"stop Caddy and move them: caddy mailchimp outbox move --from %[2]s --config <file>",
			Entries(left.Entries), left.File))
	}
	if oldest, ok := s.Oldest[outbox.Pending]; ok && time.Since(oldest) > late && len(s.Troubles) == 0 {
		s.troubleAll("the oldest pending entry waits since " + oldest.UTC().Format(time.RFC3339))
	}
	s.Flows = len(s.Troubles) == 0
	s.Troubles = append(s.Troubles, app.SecretTroubles()...) // with the former value, mail flows
	s.listAttention()
	return s
}

// showReady is for orchestrators: it answers 200 if hooks would be stored.
func showReady(w http.ResponseWriter, _ *http.Request) error {
	app := caddymodule.Running()
	if app == nil {
		return problem(http.StatusServiceUnavailable, "the running configuration has no mailchimp")
	}
	if box := app.RunningOutbox(); box != nil {
		if err := box.Ready(); err != nil {
			return problem(http.StatusServiceUnavailable, "%w", err)
		}
	}
	return writeJSON(w, map[string]bool{"ready": true})
}
