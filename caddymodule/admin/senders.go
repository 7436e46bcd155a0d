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

func pauseTemplate(w http.ResponseWriter, r *http.Request) error {
	box, template, err := findTemplate(r)
	if err != nil {
		return err
	}
	return writeDone(w, box.PauseTemplate(r.Context(), template))
}

func resumeTemplate(w http.ResponseWriter, r *http.Request) error {
	box, template, err := findTemplate(r)
	if err != nil {
		return err
	}
	return writeDone(w, box.ResumeTemplate(r.Context(), template))
}

// findTemplate returns the template that the body names, as entries name it. One that is paused can be resumed although
// the configuration no longer has it.
func findTemplate(r *http.Request) (*outbox.Outbox, string, error) {
	app, box, err := runningOutbox()
	if err != nil {
		return nil, "", err
	}
	var body Template
	if err := readJSON(r, &body); err != nil {
		return nil, "", err
	}
	if body.Template == "" {
		return nil, "", problem(http.StatusBadRequest, `the body must be {"template": "<template>"}`)
	}
	var known []string
	for _, template := range app.Templates() {
		known = append(known, template.Template)
	}
	paused := slices.Clone(known)
	for _, hold := range box.Holds() {
		if hold.Scope == outbox.ScopePauseTemplate {
			paused = append(paused, hold.Target)
		}
	}
	if slices.Contains(paused, body.Template) {
		return box, body.Template, nil
	}
	paused = slices.DeleteFunc(paused, func(template string) bool {
		return !strings.HasSuffix(template, "/"+body.Template)
	})
	slices.Sort(paused)
	switch paused = slices.Compact(paused); len(paused) {
	case 1:
		return box, paused[0], nil
	case 0:
		return nil, "", problem(http.StatusNotFound,
			"there is no template %s: known are %s", body.Template, strings.Join(known, ", "))
	default:
		return nil, "", problem(http.StatusConflict,
			"%s is one of several templates: %s", body.Template, strings.Join(paused, ", "))
	}
}
