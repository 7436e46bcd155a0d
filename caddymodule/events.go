package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func init() {
	caddy.RegisterModule(new(Events))
}

// Events receives Mandrill's events: that mails were delivered, bounced, opened, and so on after they were sent
// (Mandrill's own webhooks). It ties each event to its entry in the outbox. The request ends here.
//
// All strings take global placeholders such as {env.MANDRILL_WEBHOOK_KEY}, which are replaced when the configuration is
// loaded. Files of keys are followed: a change takes effect within seconds.
type Events struct {
	// The URL of this handler exactly as Mandrill has it, query included: it is part of the signature. Required.
	URL string `json:"url,omitempty"`

	// The keys of the webhooks: each webhook has its own. Required.
	Keys []string `json:"keys,omitempty"`

	logger *zap.Logger
	app    *App
	url    string
	keys   []*secret
}

// CaddyModule returns the Caddy module information.
func (*Events) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mailchimp_events",
		New: func() caddy.Module { return new(Events) },
	}
}

// Provision sets up the handler.
func (h *Events) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	app, err := ctx.App("mailchimp")
	if err != nil {
		return err
	}
	h.app = app.(*App)
	if h.URL == "" {
		return errors.New("url is missing: name the URL that Mandrill calls, " +
			"for example url https://hooks.example.com/mandrill")
	}
	if h.url, err = directive.Expand("url", h.URL); err != nil {
		return err
	}
	parsed, err := url.Parse(h.url)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" {
		return fmt.Errorf("url: %q is not a URL such as https://hooks.example.com/mandrill", h.URL)
	}
	if len(h.Keys) == 0 {
		return errors.New("key is missing: name the key that Mandrill shows with the webhook, " +
			"for example key {env.MANDRILL_WEBHOOK_KEY}")
	}
	h.app.hearsEvents.Store(true)
	return h.provisionKeys()
}

func (h *Events) provisionKeys() (err error) {
	if h.keys, err = newSecrets("key", h.Keys); err != nil {
		return err
	}
	for _, key := range h.keys {
		g := &group{secrets: []*secret{key}, use: func(context.Context) error { return checkWebhookKey(key.wanted()) }}
		h.app.addFollower(g, key)
	}
	return checkWebhookKey(valuesOf(h.keys)...)
}

// checkWebhookKey refuses what Mandrill shows nobody as a key.
func checkWebhookKey(keys ...string) error {
	for _, key := range keys {
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("key: it has a space, a line break or another character that no key has")
		}
	}
	return nil
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	// reason is one of refusalReasons, for the metric.
	reason string
	text   string
}

// refusalReasons are why calls of mailchimp_events are refused.
var refusalReasons = []string{"method", "content_type", "too_large", "body", "signature", "events", "busy", "outbox"}

// ServeHTTP answers Mandrill's call. Mandrill repeats what isn't answered 200.
func (h *Events) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	switch r.Method {
	case http.MethodHead: // Mandrill asks so whether there is a webhook
		return nil
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "HEAD, POST")
		h.app.metrics.eventsRefused.WithLabelValues("method").Inc()
		http.Error(w, "Mandrill posts events here.", http.StatusMethodNotAllowed)
		return nil
	}
	if refused := h.take(w, r); refused != nil {
		h.app.metrics.eventsRefused.WithLabelValues(refused.reason).Inc()
		noteRefused(refused)
		h.logger.Warn("events refused", zap.Int("status", refused.status), zap.String("reason", refused.text))
		http.Error(w, refused.text, refused.status)
	}
	return nil
}

// take reads the events and ties them to their entries.
func (h *Events) take(w http.ResponseWriter, r *http.Request) *refusal {
	limitReading(w, bodyTimeout)
	// Anybody can call: nothing is read that cannot be signed.
	if refused := checkHeader(r); refused != nil {
		return refused
	}
	body := new(heldBody)
	defer body.release()
	if refused := bodyRefusal(body.read(r.Body, r.ContentLength)); refused != nil {
		return refused
	}
	unlimitReading(w)
	events, refused := h.verified(body.data, r.Header.Get(signatureHeader))
	if refused != nil || len(events) == 0 {
		return refused
	}
	return h.tie(r, events)
}

const signatureHeader = "X-Mandrill-Signature"

// checkHeader refuses what can be refused without the body.
func checkHeader(r *http.Request) *refusal {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/x-www-form-urlencoded":
		return &refusal{http.StatusUnsupportedMediaType, "content_type", "the body must be a form"}
	case !mandrill.IsSignature(r.Header.Get(signatureHeader)):
		return &refusal{http.StatusUnauthorized, "signature", signatureHeader + " is missing or malformed"}
	case r.ContentLength > maxEventsBody:
		return bodyRefusal(errEventsTooLarge)
	}
	return nil
}

// bodyRefusal turns an error of reading the body into an answer.
func bodyRefusal(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errEventsTooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, "too_large", err.Error()}
	case errors.Is(err, errEventsBusy):
		return &refusal{http.StatusServiceUnavailable, "busy", err.Error()}
	default:
		return &refusal{http.StatusBadRequest, "body", "the body can't be read"}
	}
}

// verified returns the events in a body that is signed by one of the keys. Mandrill tries a webhook that is being set
// up by a list without events, which it signs by a key that everybody knows.
func (h *Events) verified(body []byte, signature string) ([]mandrill.Event, *refusal) {
	form, err := mandrill.ParseForm(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "body", "the body is no form"}
	}
	list := form.Get("mandrill_events")
	if form.SignedBy(valuesOf(h.keys), signature, h.url) < 0 {
		switch trial := form.SignedBy([]string{mandrill.TestWebhookKey}, signature, h.url) == 0; {
		case !trial:
			return nil, &refusal{
				http.StatusUnauthorized, "signature",
				signatureHeader + " doesn't match: compare key, and url exactly, with what Mandrill has",
			}
		case string(list) != "[]":
			return nil, &refusal{
				http.StatusUnauthorized, "signature",
				"the key " + mandrill.TestWebhookKey + " signs no events",
			}
		}
		return nil, nil
	}
	events, err := mandrill.ParseEvents(list)
	switch {
	case errors.Is(err, mandrill.ErrManyEvents):
		return nil, &refusal{http.StatusRequestEntityTooLarge, "too_large", mandrill.ErrManyEvents.Error()}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "events", "mandrill_events is no list of events"}
	}
	return events, nil
}

// messageEvents are the events that are stored with an entry, and the names of Caddy's events for them.
var messageEvents = map[string]string{
	"send": "", "deferral": "mailchimp.deferred", "hard_bounce": "mailchimp.bounced", "soft_bounce": "mailchimp.bounced",
	"delivered": "mailchimp.delivered", "open": "mailchimp.opened", "click": "mailchimp.clicked", "spam": "mailchimp.spam",
	"unsub": "mailchimp.unsub", "reject": "mailchimp.reject",
}

// warningEvents are the events that somebody should look at.
var warningEvents = []string{"hard_bounce", "soft_bounce", "spam", "reject"}

// tie ties events to their entries, and reports them.
func (h *Events) tie(r *http.Request, events []mandrill.Event) *refusal {
	heard := make([]outbox.Heard, len(events))
	for i, e := range events {
		heard[i].Accepted = e.Event != "reject"
		heard[i].MailEvent = outbox.MailEvent{Time: e.Time, Event: e.Event, Message: e.ID, Detail: e.Detail}
		if whose := e.Metadata[outboxField]; whose == "" || h.app.ownsMail(whose) {
			heard[i].Entry = e.Metadata[entryField]
		}
	}
	// What isn't an event of a message has no entry.
	of := make([]int, 0, len(events))
	var asked []outbox.Heard
	for i, e := range events {
		if _, is := messageEvents[e.Event]; is {
			of, asked = append(of, i), append(asked, heard[i])
		}
	}
	noted := make([]outbox.Noted, len(events))
	if h.app.outboxKey != "" && len(asked) > 0 {
		found, err := h.app.noteEvents(r.Context(), asked)
		if err != nil {
			h.logger.Error("events can't be kept", zap.Error(err))
			return &refusal{http.StatusServiceUnavailable, "outbox", "the outbox can't be reached"}
		}
		for i, n := range found {
			noted[of[i]] = n
		}
	}
	tied := 0
	for i, e := range events {
		entry := noted[i].Entry
		if entry.ID != "" {
			tied++
			if !noted[i].New {
				continue // Mandrill repeats itself
			}
		}
		h.app.metrics.countMailEvent(e.Event, entry.ID != "")
		h.report(e, entry)
	}
	noteHeard(len(events))
	h.logger.Info("events received", zap.Int("events", len(events)), zap.Int("tied", tied))
	return nil
}

// report logs what went wrong with a mail, and emits a Caddy event for each event of a message.
func (h *Events) report(e mandrill.Event, entry outbox.Entry) {
	name := messageEvents[e.Event]
	if name == "" {
		return
	}
	if h.app.events.wants(name) {
		data := entryData(entry, e.Detail)
		data["event"], data["message_id"], data["time"] = e.Event, e.ID, e.Time.Unix()
		h.app.events.emit(name, data)
	}
	if entry.ID == "" || !slices.Contains(warningEvents, e.Event) {
		return
	}
	fields := []zap.Field{
		zap.String("entry", entry.ID), zap.String("sender", entry.Sender), zap.String("template", entry.Template),
		zap.String("event", e.Event), zap.String("message_id", e.ID), zap.String("reason", e.Detail),
	}
	if h.app.LogRecipients {
		fields = append(fields, zap.String("recipient", e.Email))
	}
	h.logger.Warn("mail didn't arrive", fields...)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Events)(nil)
	_ caddyhttp.MiddlewareHandler = (*Events)(nil)
)
