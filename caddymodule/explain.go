package caddymodule

import (
	"errors"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// explain returns the text of an error for the log. What a person may have typed is in it only if whole is set.
func (h *Webhook) explain(err error, whole bool) string {
	var rendering *render.Error
	var invalid *mandrill.InvalidError
	switch {
	case whole:
	case errors.As(err, &rendering):
		return rendering.Safe()
	case errors.As(err, &invalid):
		return invalid.Safe(h.template.Spells)
	}
	return Explain(err, whole)
}

// Explain returns the text of an error with its remedy, if Mailchimp gave the error. Mailchimp's own words, which may
// repeat an address, are in it only if whole is set.
func Explain(err error, whole bool) string {
	var send *mandrill.Error
	if errors.As(err, &send) {
		return describe(err.Error(), send.Detail, send.Remedy(), whole)
	}
	var change *audience.Error
	if errors.As(err, &change) {
		return describe(err.Error(), change.Detail, change.Remedy(), whole)
	}
	return err.Error()
}

// why returns the text of a failed call for the outbox, which keeps it. Mailchimp's own words are whole if
// log_recipients is on, and else masked by the content that they are about.
func (a *App) why(err error, content []byte) string {
	if a.LogRecipients {
		return Explain(err, true)
	}
	var send *mandrill.Error
	if errors.As(err, &send) {
		return describe(err.Error(), masked(send.Detail, content), send.Remedy(), true)
	}
	var change *audience.Error
	if errors.As(err, &change) {
		return describe(err.Error(), masked(change.Detail, content), change.Remedy(), true)
	}
	return err.Error()
}

func describe(text, detail, remedy string, whole bool) string {
	if whole && detail != "" {
		text += ": " + detail
	}
	if remedy != "" {
		text += ": " + remedy
	}
	return text
}
