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
	return explained(err, func(detail string) string {
		if whole {
			return detail
		}
		return ""
	})
}

// why returns the text of a failed call for the outbox, which keeps it. Mailchimp's own words are whole if
// log_recipients is on, and else masked by the content that they are about.
func (a *App) why(err error, content []byte) string {
	return explained(err, func(detail string) string {
		if a.LogRecipients {
			return detail
		}
		return masked(detail, content)
	})
}

// explained returns the text of an error. If Mailchimp gave it, shown makes of Mailchimp's own words what is shown.
func explained(err error, shown func(detail string) string) string {
	var send *mandrill.Error
	var change *audience.Error
	var detail, remedy string
	switch {
	case errors.As(err, &send):
		detail, remedy = send.Detail, send.Remedy()
	case errors.As(err, &change):
		detail, remedy = change.Detail, change.Remedy()
	}
	text := err.Error()
	if detail != "" {
		detail = shown(detail)
	}
	for _, more := range []string{detail, remedy} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}
