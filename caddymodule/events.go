package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// maxEventsBody is more than a thousand events have.
const maxEventsBody = 16 << 20

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
var refusalReasons = []string{"method", "content_type", "too_large", "body", "signature", "events", "outbox"}

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
	events, refused := h.read(w, r)
	if refused == nil && len(events) > 0 {
		refused = h.tie(r, events)
	}
	if refused != nil {
		h.app.metrics.eventsRefused.WithLabelValues(refused.reason).Inc()
		noteRefused(refused)
		h.logger.Warn("events refused", zap.Int("status", refused.status), zap.String("reason", refused.text))
		http.Error(w, refused.text, refused.status)
	}
	return nil
}

// read reads and verifies the events.
func (h *Events) read(w http.ResponseWriter, r *http.Request) ([]mandrill.Event, *refusal) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "content_type", "the body must be a form"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventsBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "too_large", "the body is too large"}
	} else if err != nil {
		return nil, &refusal{http.StatusBadRequest, "body", "the body can't be read"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "body", "the body is no form"}
	}
	keys, signature := valuesOf(h.keys), r.Header.Get("X-Mandrill-Signature")
	trial := mandrill.SignedBy([]string{mandrill.TestWebhookKey}, signature, h.url, form) == 0
	if !trial && mandrill.SignedBy(keys, signature, h.url, form) < 0 {
		return nil, &refusal{
			http.StatusUnauthorized, "signature",
			"X-Mandrill-Signature doesn't match: compare key, and url exactly, with what Mandrill has",
		}
	}
	events, err := mandrill.ParseEvents([]byte(form.Get("mandrill_events")))
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "events", "mandrill_events is no list of events"}
	}
	if trial && slices.Contains(keys, mandrill.TestWebhookKey) {
		return events, nil // a sandbox's key
	}
	if trial && len(events) > 0 {
		return nil, &refusal{http.StatusUnauthorized, "signature", "the key " + mandrill.TestWebhookKey + " signs no events"}
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
		heard[i].MailEvent = outbox.MailEvent{Time: e.Time, Event: e.Event, Message: e.ID, Detail: e.Detail}
		if whose, says := e.Metadata[outboxField].(string); !says || h.app.ownsMail(whose) {
			heard[i].Entry, _ = e.Metadata[entryField].(string)
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
