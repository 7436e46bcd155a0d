package caddymodule

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

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// status says at a glance whether mail flows.
type status struct {
	// Flows tells that hooks are stored, and mails and changes of audiences go out. Troubles say why not.
	Flows    bool     `json:"flows"`
	Troubles []string `json:"troubles"`
	// Attention is what waits for the operator while mail flows.
	Attention []string `json:"attention"`
	// Outbox is sqlite, postgres or off.
	Outbox string `json:"outbox"`
	outbox.Status
	// Senders are the sender domains and the lists of the configuration.
	Senders []string `json:"senders"`
	// Stopped are the senders of which Troubles tell.
	Stopped   []string         `json:"stopped"`
	LastError *OutboxError     `json:"last_error,omitempty"`
	Templates []TemplateStatus `json:"templates"`
}

// late is how old a pending entry is that should have been tried long ago.
const late = 5 * time.Minute

// manyFailures is how many attempts of a sender fail one after the other before that is trouble.
const manyFailures = 3

func showStatus(r *http.Request) (any, error) {
	app, err := mustLiveApp()
	if err != nil {
		return nil, err
	}
	return app.status(r.Context()), nil
}

// kind is the outbox's.
func (a *App) kind() string { return cmp.Or(a.Outbox.Kind, "sqlite") }

func (a *App) status(ctx context.Context) status {
	s := status{
		Outbox: a.kind(), Troubles: []string{}, Stopped: []string{}, Attention: []string{}, LastError: LastOutboxError(), Senders: a.Senders(), Templates: a.Templates(),
	}
	// Without a sender, it is a trouble of all.
	trouble := func(sender, format string, arguments ...any) {
		s.Troubles = append(s.Troubles, fmt.Sprintf(format, arguments...))
		stopped := s.Senders
		if sender != "" {
			stopped = []string{sender}
		}
		for _, sender := range stopped {
			if !slices.Contains(s.Stopped, sender) {
				s.Stopped = append(s.Stopped, sender)
			}
		}
	}
	if a.outbox != nil {
		var err error
		if s.Status, err = a.outbox.Status(ctx); err != nil {
			trouble("", "the outbox's database can't be reached: hooks get 503")
		} else if errors.Is(a.outbox.Ready(ctx), outbox.ErrFull) {
			trouble("", "the outbox has as many undelivered entries as max_pending allows: hooks get 503")
		}
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Holds)) {
		switch hold := s.Holds[sender]; {
		case hold.Paused:
			trouble(sender, "%s is paused: caddy mailchimp outbox resume %[1]s", sender)
		default:
			trouble(sender, "%s is held since %s: %s", sender, hold.Since.UTC().Format(time.RFC3339), hold.Reason)
		}
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Unknown)) {
		if list, ok := strings.CutPrefix(sender, ListPrefix); ok {
			trouble(sender, "%d entries wait for an account: no mailchimp_audience names list %s", s.Unknown[sender], list)
			continue
		}
		trouble(sender, "%d entries wait for an account: no hook and no global option names sender_domain %s", s.Unknown[sender], sender)
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Failing)) {
		if failing := s.Failing[sender]; failing.Attempts >= manyFailures {
			trouble(sender, "the last %d attempts of %s failed: %s", failing.Attempts, sender, failing.Reason)
		}
	}
	if oldest, ok := s.Oldest[outbox.Pending]; ok && time.Since(oldest) > late && len(s.Troubles) == 0 {
		trouble("", "the oldest pending entry waits since %s", oldest.UTC().Format(time.RFC3339))
	}
	s.Flows = len(s.Troubles) == 0
	s.attend()
	return s
}

// attend notes what waits for the operator.
func (s *status) attend() {
	for _, what := range []struct {
		state  outbox.State
		remedy string
	}{
		{outbox.Retrying, "%d entries are retried: see caddy mailchimp outbox list --state retrying"},
		{outbox.Dead, "%d entries are dead: see caddy mailchimp outbox list --state dead, then retry or discard them"},
		{outbox.Unrendered, "%d entries are unrendered: mend their template, then caddy mailchimp outbox retry --state unrendered"},
	} {
		if n := s.Counts[what.state]; n > 0 {
			s.Attention = append(s.Attention, fmt.Sprintf(what.remedy, n))
		}
	}
	for _, template := range s.Templates {
		if template.Error != "" {
			s.Attention = append(s.Attention, fmt.Sprintf("template %s is broken, its last good version is in force", template.Template))
		}
	}
}

// showReady is for orchestrators: 200 where hooks would be stored.
func showReady(r *http.Request) (any, error) {
	app := Running()
	if app == nil {
		return nil, problem(http.StatusServiceUnavailable, "the running configuration has no mailchimp")
	}
	if app.outbox != nil {
		if err := app.outbox.Ready(r.Context()); err != nil {
			return nil, problem(http.StatusServiceUnavailable, "%w", err)
		}
	}
	return map[string]bool{"ready": true}, nil
}
