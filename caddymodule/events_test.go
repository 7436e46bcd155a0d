package caddymodule_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestEventsProtocol(t *testing.T) {
	e := newEventsEdge(t)
	const form = "application/x-www-form-urlencoded"
	body := url.Values{"mandrill_events": {"{}"}}
	refused := make(map[string]float64)
	for _, reason := range []string{
		"method", "signature", "content_type", "events", "body", "too_large", "busy", "outbox",
	} {
		refused[reason] = e.Number(`caddy_mailchimp_events_refused_total{reason="` + reason + `"}`)
	}
	for name, test := range map[string]struct {
		got    edgetest.Answer
		status int
	}{
		"HEAD":               {e.callEvents(http.MethodHead, "", "", ""), 200},
		"GET":                {e.callEvents(http.MethodGet, "", "", ""), 405},
		"trial":              {e.postEvents("test-webhook", "[]"), 200},
		"trial with events":  {e.postEvents("test-webhook", `[{"event":"open"}]`), 401},
		"trial with a space": {e.postEvents("test-webhook", `[ ]`), 401},
		"trial of nothing":   {e.postEvents("test-webhook", ""), 401},
		"none":               {e.postEvents(webhookKey, "[]"), 200},
		"old key": {e.postEvents("old-key",
			`[{"event":"open"},{"event":"new_kind","x":[]},{"type":"whitelist"},7]`), 400},
		"unknown events": {
			e.postEvents("old-key", `[{"event":"open"},{"event":"new_kind","x":[]},{"type":"whitelist"}]`),
			200,
		},
		"other key":    {e.postEvents("other", "[]"), 401},
		"no signature": {e.callEvents(http.MethodPost, body.Encode(), form, ""), 401},
		"JSON":         {e.callEvents(http.MethodPost, "[]", "application/json", ""), 415},
		"no list":      {e.postEvents(webhookKey, "{}"), 400},
		"no form":      {e.callEvents(http.MethodPost, "%", form, mandrill.Signature(webhookKey, webhookURL, nil)), 400},
		"too large":    {e.postEvents(webhookKey, strings.Repeat("x", 8<<20)), 413},
		"too many":     {e.postEvents(webhookKey, "["+strings.Repeat("{},", 2000)+"{}]"), 413},
		"many":         {e.postEvents(webhookKey, "["+strings.Repeat("{},", 1999)+"{}]"), 200},
	} {
		if test.got.Status != test.status {
			t.Errorf("%s: %+v", name, test.got)
		}
	}
	for reason, want := range map[string]float64{
		"method": 1, "signature": 5, "content_type": 1, "events": 2, "body": 1, "too_large": 2, "busy": 0, "outbox": 0,
	} {
		name := `caddy_mailchimp_events_refused_total{reason="` + reason + `"}`
		if got := e.Number(name) - refused[reason]; got != want {
			t.Errorf("%v calls are refused for their %s", got, reason)
		}
	}
	if got := e.Metric(`caddy_mailchimp_mail_events_total{event="other",tied="false"}`); got == "" {
		t.Error("the unknown event isn't counted")
	}
}

// TestEventsAreTied follows a mail after it was sent.
func TestEventsAreTied(t *testing.T) {
	e := newEventsEdge(t)
	id := e.Post(edgetest.Ada).Entry()
	mail := e.WaitMails(1)[0]
	e.WaitState(id, outbox.Sent)
	message := mail.Recipients[0].ID
	event := func(kind, id, metadata string, at int) string {
		return fmt.Sprintf(`{"event":%q,"_id":%q,"ts":%d,"url":"https://app.example/?t=s3cret","ip":"203.0.113.9",
			"msg":{"_id":%[2]q,"email":"ada@example.net","metadata":%[4]s,"bounce_description":"mailbox_full"}}`,
			kind, id, at, metadata)
	}
	box, err := edgetest.Outbox().ID()
	if err != nil {
		t.Fatal(err)
	}
	events := "[" + strings.Join([]string{
		event("delivered", message, `{"outbox_entry":"`+id+`"}`, 1_700_000_000),
		event("open", message, `[]`, 1_700_000_060),
		event("click", message, `[]`, 1_700_000_061),
		event("soft_bounce", "another-edge's", `{"outbox_entry":"`+id+`"}`, 1_700_000_000),
		event("spam", "gone", `{"outbox_entry":"4711"}`, 1_700_000_000),
		event("unsub", "", `{"outbox_entry":"`+id+`","outbox":"another"}`, 1_700_000_000),
		event("deferral", "", `{"outbox_entry":"`+id+`","outbox":"`+box+`"}`, 1_600_000_000),
	}, ",") + "]"
	wants := map[string]float64{
		`caddy_mailchimp_mail_events_total{event="delivered",tied="true"}`:    1,
		`caddy_mailchimp_mail_events_total{event="soft_bounce",tied="false"}`: 2,
		`caddy_mailchimp_mail_events_total{event="spam",tied="false"}`:        2,
	}
	before := make(map[string]float64)
	for name := range wants {
		before[name] = e.Number(name)
	}
	for range 2 { // Mandrill repeats what it thinks was lost
		if got := e.postEvents(webhookKey, events); got.Status != 200 {
			t.Fatalf("%+v", got)
		}
	}
	entry := e.WaitState(id, outbox.Sent)
	if len(entry.Events) != 4 || entry.Events[0].Event != "deferral" || entry.Events[3].Event != "click" ||
		entry.Events[3].Message != message {
		t.Errorf("%+v", entry.Events)
	}
	if data := e.waitEvent("mailchimp.clicked"); data["entry"] != id || data["event"] != "click" ||
		data["message_id"] != message || strings.Contains(fmt.Sprint(data), "s3cret") {
		t.Errorf("%v", data)
	}
	if data := e.waitEvent("mailchimp.bounced"); data["entry"] != nil || data["event"] != "soft_bounce" ||
		data["reason"] != "mailbox_full" {
		t.Errorf("%v", data)
	}
	for name, want := range wants {
		if got := e.Number(name) - before[name]; got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
}

// TestCaddyEvents hears of all that happens.
func TestCaddyEvents(t *testing.T) {
	e := newEventsEdge(t)
	id := e.Post(edgetest.Ada).Entry()
	if data := e.waitEvent("mailchimp.sent"); data["entry"] != id || data["hook"] != "/hooks/welcome" ||
		data["sender"] != "example.com" || data["message_ids"] == "" {
		t.Errorf("%v", data)
	}
	for n, test := range []struct {
		event   string
		failure sandbox.Failure
	}{
		{"mailchimp.dead", sandbox.Failure{Status: 422, Name: "ValidationError"}},
		{"mailchimp.rejected", sandbox.Failure{RejectReason: "spam"}},
		{"mailchimp.held", sandbox.Failure{Name: "PaymentRequired"}},
	} {
		if err := e.Sandbox.Fail(test.failure); err != nil {
			t.Fatal(err)
		}
		e.Post(strings.Replace(edgetest.Ada, "f1", fmt.Sprint(n), 1))
		if data := e.waitEvent(test.event); data["sender"] != "example.com" || data["reason"] == "" {
			t.Errorf("%s: %v", test.event, data)
		}
	}
	e.waitEvent("mailchimp.released")
	e.Write("t.jsonnet", "function(ctx) {")
	if data := e.waitEvent("mailchimp.template_failed"); data["template"] != e.Path("t.jsonnet") || data["reason"] == "" {
		t.Errorf("%v", data)
	}
}

// TestEventsOfTheStart has events that happen before Caddy's events app has started arrive all the same.
func TestEventsOfTheStart(t *testing.T) {
	e := newEventsEdge(t)
	e.Write("t.jsonnet", "function(ctx) {")
	e.waitEvent("mailchimp.template_failed")
	recorded.Lock()
	recorded.events = nil
	recorded.Unlock()
	e.load("workers 7")
	e.waitEvent("mailchimp.template_failed")
}

// TestSlowEventHandler has a handler that does not return hold up a reload for a second, and no longer.
func TestSlowEventHandler(t *testing.T) {
	e := newEventsEdge(t)
	held := make(chan struct{})
	hold := func(by chan struct{}) {
		recorded.Lock()
		recorded.held = by
		recorded.Unlock()
	}
	hold(held)
	for n := range 3 {
		id := e.Post(strings.Replace(edgetest.Ada, "f1", fmt.Sprint(n), 1)).Entry()
		e.WaitState(id, outbox.Sent)
	}
	e.waitEvent("mailchimp.sent")
	edgetest.WaitUntil(t, "an event is not queued", func() bool {
		return strings.Count(e.Logs(), `"msg":"entry ended"`) == 3
	})
	before := e.Number("caddy_mailchimp_events_dropped_total")
	e.load("workers 7")
	hold(nil)
	close(held)
	// The first event is in the handler's hands.
	if got := e.Number("caddy_mailchimp_events_dropped_total") - before; got != 2 {
		t.Errorf("%v events are dropped", got)
	}
}

func TestEventsAreMisconfigured(t *testing.T) {
	for block, want := range map[string]string{
		"url hooks.example.com/mandrill\nkey k":    "is not a URL such as",
		"url {env.NOT_SET}\nkey k":                 "url: evaluated placeholder {env.NOT_SET} is empty",
		"url https://a.example\nkey {env.NOT_SET}": "key: evaluated placeholder {env.NOT_SET} is empty",
	} {
		err := validate(t, "{\nadmin off\nauto_https off\n}\nhttp://127.0.0.1:1 {\nmailchimp_events {\n"+block+"\n}\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", block, err)
		}
	}
}
