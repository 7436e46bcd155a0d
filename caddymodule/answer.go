package caddymodule

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// answer is the answer to a hook.
type answer struct {
	// problem is nil if all went well.
	problem *ory.Error
	// fields are pointers to the fields of Ory's form that the problem lies with.
	fields []string
	// recipients is what Mandrill said of each, if the mail was sent before the answer.
	recipients []mandrill.Recipient
	// entry is the id in the outbox, or empty.
	entry string
	// queued is set if the mail is sent after the answer.
	queued bool
	// unrendered says why it could not be rendered yet, or is empty.
	unrendered string
	// stored is set if Ory stores in the identity what Mandrill said.
	stored bool
	// duplicate is set if the answer is that of an earlier call.
	duplicate bool
}

// The bodies of successes, for those who read them.
type (
	sentBody struct {
		Status     string               `json:"status"`
		Recipients []mandrill.Recipient `json:"recipients"`
	}
	// storedBody is what Ory stores in an identity.
	storedBody struct {
		Identity struct {
			MetadataAdmin struct {
				Mailchimp sentBody `json:"mailchimp"`
			} `json:"metadata_admin"`
		} `json:"identity"`
	}
	unrenderedBody struct {
		Status string `json:"status"`
		ID     string `json:"id"`
		Reason string `json:"reason"`
	}
	queuedBody struct {
		Status    string `json:"status"`
		ID        string `json:"id"`
		Duplicate bool   `json:"duplicate"`
	}
)

// status returns the HTTP status for a request.
func (a answer) status(r *http.Request) int {
	switch {
	case a.problem != nil:
		return a.problem.Status
	case a.recipients != nil && (a.stored || wantsBody(r)):
		return http.StatusOK
	case a.queued && wantsBody(r):
		return http.StatusAccepted
	default:
		return http.StatusNoContent
	}
}

// write answers the request.
func (a answer) write(w http.ResponseWriter, r *http.Request, reference string) error {
	if a.entry != "" {
		w.Header().Set("Outbox-Entry", a.entry)
	}
	if a.duplicate {
		w.Header().Set("Outbox-Duplicate", "true")
	}
	if a.problem != nil {
		return a.problem.Respond(w, reference, a.fields...)
	}
	status := a.status(r)
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return nil
	}
	sent := sentBody{"sent", a.recipients}
	var value any = sent
	switch {
	case a.unrendered != "":
		value = unrenderedBody{"unrendered", a.entry, a.unrendered}
	case a.queued:
		value = queuedBody{"queued", a.entry, a.duplicate}
	case a.stored:
		var stored storedBody
		stored.Identity.MetadataAdmin.Mailchimp = sent
		value = stored
	}
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}

// wantsBody reports whether somebody reads the body of a success. Ory sends no Accept header, and keeps its connection
// only if the body is empty; people with curl do send one.
func wantsBody(r *http.Request) bool {
	return r.Header.Get("Accept") != ""
}
