package caddymodule

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// activity is what has reached this process from outside. It survives reloads.
var activity = struct {
	mu     sync.Mutex
	hooks  map[string]HookStatus
	events EventsStatus
}{hooks: make(map[string]HookStatus)}

// HookStatus says when a hook was last called, and how often since this process started. Ory takes it for delivered if
// Caddy answers a call that reaches no hook.
type HookStatus struct {
	// Directive and Template name the handler.
	Directive string `json:"directive"`
	Template  string `json:"template"`
	Calls     int    `json:"calls"`
	// LastCalled, LastPath and LastStatus are of the last call, if there was one.
	LastCalled time.Time `json:"last_called,omitzero"`
	LastPath   string    `json:"last_path,omitempty"`
	LastStatus int       `json:"last_status,omitempty"`
	// Unsearchable is how many mails had no room in their metadata for what Mandrill's search needs.
	Unsearchable int `json:"unsearchable,omitempty"`
}

// activityKey names a handler, whatever configuration it is of.
func (h *Webhook) activityKey() string { return h.kind.directive() + " " + h.id }

// noteCall keeps that the hook was called.
func (h *Webhook) noteCall(path string, status int) {
	activity.mu.Lock()
	defer activity.mu.Unlock()
	s := activity.hooks[h.activityKey()]
	s.Calls++
	s.LastCalled, s.LastPath, s.LastStatus = time.Now(), path, status
	activity.hooks[h.activityKey()] = s
}

// noteUntied counts a mail that no search can find.
func (h *Webhook) noteUntied() {
	activity.mu.Lock()
	defer activity.mu.Unlock()
	s := activity.hooks[h.activityKey()]
	s.Unsearchable++
	activity.hooks[h.activityKey()] = s
}

// HookStatuses returns the status of each hook of the configuration, sorted by directive and template.
func (a *App) HookStatuses() []HookStatus {
	a.mu.Lock()
	hooks := slices.Clone(a.hooks)
	a.mu.Unlock()
	activity.mu.Lock()
	defer activity.mu.Unlock()
	byKey := make(map[string]HookStatus)
	for _, hook := range hooks {
		s := activity.hooks[hook.activityKey()]
		s.Directive, s.Template = hook.kind.directive(), hook.Template
		byKey[hook.activityKey()] = s
	}
	statuses := []HookStatus{}
	for _, s := range byKey {
		statuses = append(statuses, s)
	}
	slices.SortFunc(statuses, func(a, b HookStatus) int {
		return cmp.Or(cmp.Compare(a.Directive, b.Directive), cmp.Compare(a.Template, b.Template),
			cmp.Compare(a.LastPath, b.LastPath))
	})
	return statuses
}

// EventsStatus says what Mandrill's webhook has told this process since it started.
type EventsStatus struct {
	// Heard is how many events arrived, and LastHeard when the last one did.
	Heard     int       `json:"heard"`
	LastHeard time.Time `json:"last_heard,omitzero"`
	// Refused is how many calls were refused. The others are of the last one: Reason as in the metric
	// caddy_mailchimp_events_refused_total, and Text in words.
	Refused     int       `json:"refused"`
	LastRefused time.Time `json:"last_refused,omitzero"`
	Reason      string    `json:"reason,omitempty"`
	Text        string    `json:"text,omitempty"`
}

func noteHeard(events int) {
	activity.mu.Lock()
	defer activity.mu.Unlock()
	activity.events.Heard += events
	activity.events.LastHeard = time.Now()
}

func noteRefused(r *refusal) {
	activity.mu.Lock()
	defer activity.mu.Unlock()
	activity.events.Refused++
	activity.events.LastRefused, activity.events.Reason, activity.events.Text = time.Now(), r.reason, r.text
}

// EventsStatus returns what Mandrill's webhook has told, or nil if the configuration has no mailchimp_events.
func (a *App) EventsStatus() *EventsStatus {
	if !a.hearsEvents.Load() {
		return nil
	}
	activity.mu.Lock()
	defer activity.mu.Unlock()
	status := activity.events
	return &status
}
