package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// late is the age of a pending entry from which on something must be wrong: it should have been tried long ago.
const late = 5 * time.Minute

// manyFailures is how many attempts of a sender fail in a row before that is a trouble.
const manyFailures = 3

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
		Keys: app.KeyEndings(),
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
		s.Troubles = append(s.Troubles, fmt.Sprintf("%d undelivered entries are in the former outbox %[2]s: stop Caddy and move them: "+
			"caddy mailchimp outbox move --from %[2]s --config <file>", left.Entries, left.File))
	}
	if oldest, ok := s.Oldest[outbox.Pending]; ok && time.Since(oldest) > late && len(s.Troubles) == 0 {
		s.troubleAll("the oldest pending entry waits since " + oldest.UTC().Format(time.RFC3339))
	}
	s.Flows = len(s.Troubles) == 0
	s.Troubles = append(s.Troubles, app.SecretTroubles()...) // with the former value, mail flows
	s.listAttention()
	return s
}

// judgeSenders lists the senders that send nothing.
func (s *Status) judgeSenders() {
	for _, sender := range slices.Sorted(maps.Keys(s.Holds)) {
		switch hold := s.Holds[sender]; {
		case hold.Paused:
			s.trouble(sender, "%s is paused: caddy mailchimp outbox resume %[1]s", sender)
		default:
			s.trouble(sender, "%s is held since %s: %s", sender, hold.Since.UTC().Format(time.RFC3339), hold.Reason)
		}
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Unknown)) {
		if list, ok := strings.CutPrefix(sender, caddymodule.ListPrefix); ok {
			s.trouble(sender, "%d entries wait for an account: no mailchimp_audience names list %s",
				s.Unknown[sender], list)
			continue
		}
		s.trouble(sender, "%d entries wait for an account: no hook and no global option names sender_domain %s",
			s.Unknown[sender], sender)
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Failing)) {
		if failing := s.Failing[sender]; failing.Attempts >= manyFailures {
			s.trouble(sender, "the last %d attempts of %s failed: %s", failing.Attempts, sender, failing.Reason)
		}
	}
}

// trouble adds a trouble of one sender.
func (s *Status) trouble(sender, format string, arguments ...any) {
	s.Troubles = append(s.Troubles, fmt.Sprintf(format, arguments...))
	if !slices.Contains(s.Stopped, sender) {
		s.Stopped = append(s.Stopped, sender)
	}
}

// troubleAll adds a trouble that stops all senders.
func (s *Status) troubleAll(text string) {
	s.Troubles = append(s.Troubles, text)
	for _, sender := range s.Senders {
		if !slices.Contains(s.Stopped, sender) {
			s.Stopped = append(s.Stopped, sender)
		}
	}
}

// listAttention lists what waits for the operator while mail flows.
func (s *Status) listAttention() {
	for _, what := range []struct {
		state  outbox.State
		remedy string
	}{
		{outbox.Retrying, "%d entries are retried: see caddy mailchimp outbox list --state retrying"},
		{outbox.Dead, "%d entries are dead: see caddy mailchimp outbox list --state dead, then retry or discard them"},
		{
			outbox.Unrendered,
			"%d entries are unrendered: mend their template, then caddy mailchimp outbox retry --state unrendered",
		},
	} {
		if n := s.Counts[what.state]; n > 0 {
			s.Attention = append(s.Attention, fmt.Sprintf(what.remedy, n))
		}
	}
	for _, template := range s.Templates {
		if template.Error != "" {
			s.Attention = append(s.Attention,
				fmt.Sprintf("template %s is broken, its last good version is in force", template.Template))
		}
	}
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
