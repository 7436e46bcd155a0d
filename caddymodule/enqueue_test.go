package caddymodule_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestQueuedHook(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	first := e.Post(edgetest.Ada)
	if first.Status != http.StatusNoContent || first.Body != "" || first.Entry() == "" ||
		first.Header.Get("Outbox-Duplicate") != "" {
		t.Errorf("Ory is edgetest.Answer %+v", first)
	}
	again := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	var body struct {
		Status, ID string
		Duplicate  bool
	}
	if err := json.Unmarshal([]byte(again.Body), &body); err != nil || again.Status != http.StatusAccepted ||
		body.Status != "queued" || !body.Duplicate ||
		body.ID != first.Entry() || again.Entry() != body.ID || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("a person is edgetest.Answer %+v, %v", again, err)
	}
	mail := e.WaitMails(1)[0]
	if mail.Message.Metadata["outbox_entry"] != body.ID {
		t.Errorf("metadata %v", mail.Message.Metadata)
	}
	entry := e.WaitState(body.ID, outbox.Sent)
	if entry.Content != nil || len(entry.Outcome) != 1 || entry.Outcome[0].Status != "sent" {
		t.Errorf("%+v", entry)
	}
	if len(e.Sandbox.Mails()) != 1 {
		t.Errorf("%d mails", len(e.Sandbox.Mails()))
	}
}

func TestQueuedHookWithoutAMessage(t *testing.T) {
	const template = `function(ctx)
		if std.objectHas(ctx, 'cancel') then error 'cancel'
		else { message: { from_email: 'a@example.net', to: [{ email: 'ada@example.net' }] } }`
	e := edgetest.NewWith(t, template, "", "")
	if got := e.Post(`{"cancel":1}`); got.Status != 204 || got.Entry() != "" {
		t.Errorf("cancelled: %+v", got)
	}
	got := e.Post(`{"other":"domain"}`)
	if got.Status != 204 {
		t.Fatalf("another domain: %+v", got)
	}
	if entry := e.WaitState(got.Entry(), outbox.Unrendered); !strings.Contains(entry.Reason, "sender_domain") {
		t.Errorf("%+v", entry)
	}
}

func TestOutboxOff(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	off := func(lines string) string {
		return strings.Replace(e.Caddyfile(lines), "outbox sqlite "+e.Path("outbox.db"), "outbox off", 1)
	}
	if err := e.Load(off("")); err == nil || !strings.Contains(err.Error(), "delivery queued needs the outbox") {
		t.Errorf("queued: %v", err)
	}
	if err := e.Load(off("delivery sync")); err != nil {
		t.Fatal(err)
	}
	if got := e.Post(edgetest.Ada); got.Status != 204 || len(e.Sandbox.Mails()) != 1 {
		t.Errorf("sync: %+v", got)
	}
}

func TestOutboxIsFull(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "max_pending 1")
	if err := e.Sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	e.Post(edgetest.Ada)
	got := e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1))
	if got.Status != http.StatusServiceUnavailable || got.ID() != ory.ErrStore.ID || got.Header.Get("Retry-After") != "" {
		t.Errorf("got %+v", got)
	}
}

// TestHooksBehindHandlePath share no key, though Caddy strips what tells their paths apart.
func TestHooksBehindHandlePath(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	hook := "mailchimp_hook {\ntemplate " + e.Path("t.jsonnet") + "\nauth header X-Hook-Key {env.HOOK_KEY}\n}\n"
	config := strings.Replace(e.Caddyfile(""), "metrics /metrics",
		"handle_path /one {\n"+hook+"}\nhandle_path /two {\n"+hook+"}\n", 1)
	// At the level DEBUG, Caddy's own rewriting logs all headers.
	if err := e.Load(strings.Replace(config, "level DEBUG", "level INFO", 1)); err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(e.URL, "/hooks/welcome")
	for _, path := range []string{"/one", "/two"} {
		e.URL = base + path
		got := e.Post(edgetest.Ada)
		if got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "" {
			t.Errorf("%s: %+v", path, got)
		}
		if entry := e.WaitState(got.Entry(), outbox.Sent); entry.Hook != path {
			t.Errorf("%s: the entry says %s", path, entry.Hook)
		}
	}
}

// TestClientLeavesDuringRendering hangs up before the template has an answer: nothing is stored, and the repeat is a
// first call.
func TestClientLeavesDuringRendering(t *testing.T) {
	const endless = `local fib(n) = if n < 2 then n else fib(n - 1) + fib(n - 2); function(ctx) { a: fib(60) }`
	for _, delivery := range []string{"queued", "sync"} {
		t.Run(delivery, func(t *testing.T) {
			e := edgetest.NewWith(t, endless, "delivery "+delivery+"\nrender_timeout 1m", "")
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			r := httptest.NewRequestWithContext(gone, http.MethodPost, "/hooks/welcome", strings.NewReader(edgetest.Ada))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Hook-Key", edgetest.HookKey)
			answer := httptest.NewRecorder()
			if err := caddymodule.FirstHook().ServeHTTP(answer, r, nil); err != nil {
				t.Fatal(err)
			}
			if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Outbox-Entry") != "" {
				t.Errorf("the answer is %d, %v", answer.Code, answer.Header())
			}
			e.WaitForLog(`"outcome":"unavailable"`)
			e.Write("t.jsonnet", edgetest.Minimal)
			e.WaitForLog(`"msg":"template changed"`)
			if got := e.Post(edgetest.Ada); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "" {
				t.Errorf("the repeat got %+v", got)
			}
			e.WaitMails(1)
		})
	}
}

// TestAccessLog has access logs name the entry, the outcome and the reference of a call.
func TestAccessLog(t *testing.T) {
	e := edgetest.Prepare(t, edgetest.Minimal)
	lines := "\tlog\n"
	for _, name := range []string{"entry", "outcome", "reference"} {
		lines += "\tlog_append mail_" + name + " {http.mailchimp_hook." + name + "}\n"
	}
	caddyfile := strings.Replace(e.Caddyfile(""), "\tmetrics /metrics\n", "\tmetrics /metrics\n"+lines, 1)
	e.Run(strings.ReplaceAll(caddyfile, "auth header X-Hook-Key", "auth header Authorization"))
	call := edgetest.Header("Authorization", edgetest.HookKey)
	id := e.Post(edgetest.Ada, edgetest.Header("X-Hook-Key", ""), call).Entry()
	e.WaitForLog(`"mail_outcome":"queued","mail_entry":"` + id + `"`) // the last one is appended first
	reference := e.Post(edgetest.Ada, edgetest.Header("X-Hook-Key", "")).Reference()
	e.WaitForLog(`"mail_reference":"` + reference + `","mail_outcome":"refused","mail_entry":""`)
}
