package caddymodule_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestQueuedHook(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	first := e.Post(edgetest.Ada)
	if first.Status != http.StatusNoContent || first.Body != "" || first.Entry() == "" || first.Header.Get("Outbox-Duplicate") != "" {
		t.Errorf("Ory is edgetest.Answer %+v", first)
	}
	again := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	var body struct {
		Status, ID string
		Duplicate  bool
	}
	if err := json.Unmarshal([]byte(again.Body), &body); err != nil || again.Status != http.StatusAccepted || body.Status != "queued" || !body.Duplicate ||
		body.ID != first.Entry() || again.Entry() != body.ID || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("a person is edgetest.Answer %+v, %v", again, err)
	}
	mail := e.WaitMails(1)[0]
	if mail.Message.Metadata["outbox_entry"] != body.ID {
		t.Errorf("metadata %v", mail.Message.Metadata)
	}
	entry := e.WaitState(body.ID, outbox.Sent)
	if entry.Content != nil || !strings.Contains(string(entry.Outcome), "sent") {
		t.Errorf("%+v", entry)
	}
	if len(e.Sandbox.Mails()) != 1 {
		t.Errorf("%d mails", len(e.Sandbox.Mails()))
	}
}

// TestQueuedHookWithABrokenTemplate lets the person register, and sends the mail when the template is mended.
func TestQueuedHookWithABrokenTemplate(t *testing.T) {
	const ctx = `{"identity":{"traits":{"email":"ada@example.net"}},"request_cookies":{"session":"c00kie"},"request_url":"https://ory.example/x?token=t0ken",` +
		`"request_headers":{"Cookie":["c00kie"],"Accept-Language":["de"]},"flow":{"id":"f1","ui":{"nodes":["n0de"]},"return_to":"https://app.example/?a=t0ken"}}`
	e := edgetest.NewWith(t, strings.Replace(edgetest.Minimal, "traits.email", "traits.emial", 1), "", "")
	got := e.Post(ctx)
	id := got.Entry()
	if got.Status != http.StatusNoContent || id == "" {
		t.Fatalf("got %+v", got)
	}
	entry := e.WaitState(id, outbox.Unrendered)
	for _, secret := range []string{"c00kie", "t0ken", "n0de"} {
		if strings.Contains(string(entry.Content), secret) {
			t.Errorf("%s is kept: %s", secret, entry.Content)
		}
	}
	if !strings.Contains(string(entry.Content), `"Accept-Language":["de"]`) || !strings.Contains(entry.Reason, "Field does not exist: emial") {
		t.Errorf("%+v: %s", entry, entry.Content)
	}
	if again := e.Post(ctx); again.Entry() != id || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("the repeat: %+v", again)
	}
	e.Write("t.jsonnet", edgetest.Minimal)
	e.WaitForLog(`"msg":"template changed"`)
	if err := edgetest.Outbox().Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if mail := e.WaitMails(1)[0]; mail.Message.To[0].Email != "ada@example.net" {
		t.Errorf("%+v", mail)
	}
	e.WaitState(id, outbox.Sent)
}

func TestQueuedHookWithoutAMessage(t *testing.T) {
	e := edgetest.NewWith(t, `function(ctx) if std.objectHas(ctx, 'cancel') then error 'cancel' else { message: { from_email: 'a@example.net', to: [{ email: 'ada@example.net' }] } }`, "", "")
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

// TestCourierExpires keeps a code no longer than it is of use.
func TestCourierExpires(t *testing.T) {
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	for body, want := range map[string]time.Duration{
		`{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":{"login_code":"1"}}`:                         15 * time.Minute,
		`{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":{"login_code":"2","expires_in_minutes":60}}`: time.Hour,
	} {
		got := e.Post(body)
		entry := e.WaitState(got.Entry(), outbox.Unrendered)
		if left := time.Until(entry.Expires); left > want || left < want-time.Minute || !entry.Private {
			t.Errorf("%s: expires in %v, private %v", body, left, entry.Private)
		}
	}
}

func TestMandrillIsDown(t *testing.T) {
	for name, failure := range map[string]sandbox.Failure{
		"down":      {Calls: 2, Status: 500},
		"suspended": {Calls: 2, Status: 402, Name: "PaymentRequired"},
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.NewWith(t, edgetest.Minimal, "", "workers 2")
			if err := e.Sandbox.Fail(failure); err != nil {
				t.Fatal(err)
			}
			const hooks = 10
			var ids []string
			for n := range hooks {
				got := e.Post(strings.Replace(edgetest.Ada, "f1", fmt.Sprint(n), 1))
				if got.Status != 204 {
					t.Fatalf("got %+v", got)
				}
				ids = append(ids, got.Entry())
			}
			e.WaitMails(hooks)
			for _, id := range ids {
				e.WaitState(id, outbox.Sent)
			}
			if got := len(e.Sandbox.Mails()); got != hooks {
				t.Errorf("%d mails", got)
			}
			if name == "suspended" && !strings.Contains(e.Logs(), "check the account's plan and payment") {
				t.Error("the log names no remedy")
			}
		})
	}
}

func TestMessageOfNoUse(t *testing.T) {
	for name, test := range map[string]struct {
		failure sandbox.Failure
		state   outbox.State
		reason  string
	}{
		"refused":  {sandbox.Failure{Status: 422, Name: "ValidationError"}, outbox.Dead, "ValidationError"},
		"rejected": {sandbox.Failure{RejectReason: "unsigned"}, outbox.Rejected, "check-domain"},
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.NewWith(t, edgetest.Minimal, "", "")
			if err := e.Sandbox.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			got := e.Post(edgetest.Ada)
			entry := e.WaitState(got.Entry(), test.state)
			if !strings.Contains(entry.Reason, test.reason) {
				t.Errorf("%+v", entry)
			}
			// The key is free: a person may try once more.
			if again := e.Post(edgetest.Ada); again.Header.Get("Outbox-Duplicate") != "" {
				t.Errorf("again: %+v", again)
			}
			e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
		})
	}
}

// TestUnknownOutcome breaks the connection after Mandrill took the mail: the search finds it.
func TestUnknownOutcome(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	if err := e.Sandbox.Fail(sandbox.Failure{Reset: "after"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada).Entry()
	if entry := e.WaitState(id, outbox.Sent); !strings.Contains(entry.Reason, "found at Mandrill") || len(e.Sandbox.Mails()) != 1 {
		t.Errorf("%+v, %d mails", entry, len(e.Sandbox.Mails()))
	}
}

func TestQueuedUnderReloads(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	hooks := postUnderReloads(e, "")
	e.WaitMails(hooks)
	for _, state := range []outbox.State{outbox.Pending, outbox.Sending, outbox.Retrying} {
		for deadline := time.Now().Add(time.Minute); ; {
			entries, err := edgetest.Outbox().List(t.Context(), outbox.Filter{State: state})
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d entries are %s", len(entries), state)
			}
		}
	}
	if got := len(e.Sandbox.Mails()); got != hooks {
		t.Errorf("%d mails for %d hooks", got, hooks)
	}
}

// TestReloadLeavesNothingBehind refuses to turn away from an outbox with undelivered entries.
func TestReloadLeavesNothingBehind(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	if err := e.Sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada).Entry()
	e.WaitForLog("sender is held")
	other := strings.Replace(e.Caddyfile(""), e.Path("outbox.db"), e.Path("other.db"), 1)
	off := strings.Replace(e.Caddyfile("delivery sync"), "outbox sqlite "+e.Path("outbox.db"), "outbox off", 1)
	for name, caddyfile := range map[string]string{"another file": other, "off": off} {
		if err := e.Load(caddyfile); err == nil || !strings.Contains(err.Error(), "1 undelivered entries") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What runs goes on.
	if got := e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)); got.Status != 204 {
		t.Errorf("got %+v", got)
	}
	// The operator may discard what waits, and then load it.
	for _, id := range []string{id, e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)).Entry()} {
		for err := outbox.ErrNotFound; err != nil; {
			// The entry that probes is being sent for a moment.
			if err = edgetest.Outbox().Discard(t.Context(), id); err != nil && !errors.Is(err, outbox.ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	if err := e.Load(other); err != nil {
		t.Error(err)
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

// TestSyncIsRecorded repeats hooks after the process forgot them, as after a restart or at another edge.
func TestSyncIsRecorded(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	forget := func() {
		if err := e.Load(e.Caddyfile("delivery sync\nmax_body 2MB")); err != nil {
			t.Fatal(err)
		}
		caddymodule.ForgetReplies()
	}
	first := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	id := first.Entry()
	if first.Status != 200 || id == "" {
		t.Fatalf("got %+v", first)
	}
	if entry := e.WaitState(id, outbox.Sent); entry.Content != nil || strings.Contains(string(entry.Outcome), "ada@") {
		t.Errorf("%+v", entry)
	}
	forget()
	again := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	if again.Status != 200 || again.Body != first.Body || again.Entry() != id || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	// A queued hook knows the key too, and the other way round.
	if err := e.Load(e.Caddyfile("")); err != nil {
		t.Fatal(err)
	}
	if again := e.Post(edgetest.Ada); again.Status != 204 || again.Entry() != id || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("queued: %+v", again)
	}
	const bob = `{"identity":{"traits":{"email":"bob@example.net"}}}`
	queued := e.Post(bob)
	e.WaitState(queued.Entry(), outbox.Sent)
	forget()
	if again := e.Post(bob); again.Status != 204 || again.Entry() != queued.Entry() || again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("sync after queued: %+v", again)
	}
	if n := len(e.Sandbox.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
	// What isn't known is not sent again.
	if err := e.Sandbox.Fail(sandbox.Failure{Reset: "after"}); err != nil {
		t.Fatal(err)
	}
	const carl = `{"identity":{"traits":{"email":"carl@example.net"}}}`
	if got := e.Post(carl); got.Status != 503 {
		t.Errorf("unknown: %+v", got)
	}
	forget()
	if got := e.Post(carl); got.Status != 503 || got.Header.Get("Outbox-Duplicate") != "true" || len(e.Sandbox.Mails()) != 3 {
		t.Errorf("unknown, again: %+v, %d mails", got, len(e.Sandbox.Mails()))
	}
	// What didn't go out may be tried again.
	if err := e.Sandbox.Fail(sandbox.Failure{Status: 500}); err != nil {
		t.Fatal(err)
	}
	const dora = `{"identity":{"traits":{"email":"dora@example.net"}}}`
	if got := e.Post(dora); got.Status != 503 {
		t.Errorf("down: %+v", got)
	}
	if got := e.Post(dora); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "" {
		t.Errorf("up again: %+v", got)
	}
}

// TestSyncIsHeld has Mandrill queue a mail for the account's sake: the outbox looks after it from then on.
func TestSyncIsHeld(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	if err := e.Sandbox.Fail(sandbox.Failure{QueuedReason: "sending-paused"}); err != nil {
		t.Fatal(err)
	}
	got := e.Post(edgetest.Ada)
	if got.Status != 204 {
		t.Fatalf("got %+v", got)
	}
	id := got.Entry()
	e.WaitState(id, outbox.Retrying)
	e.Sandbox.Recover()
	e.WaitState(id, outbox.Sent)
	if n := len(e.Sandbox.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestRetryFindsItsHook has two hooks share a template, each with a sender domain of its own.
func TestRetryFindsItsHook(t *testing.T) {
	const template = `function(ctx) { message: { from_email: 'hello@second.example', to: [{ email: ctx.identity.traits.email }] } }`
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	config := strings.Replace(e.Caddyfile("sender_domain first.example"), "metrics /metrics", "mailchimp_hook /hooks/second {\ntemplate "+
		e.Path("t.jsonnet")+"\nauth header X-Hook-Key {env.HOOK_KEY}\nsender_domain second.example\n}\n", 1)
	if err := e.Load(config); err != nil {
		t.Fatal(err)
	}
	e.URL = strings.Replace(e.URL, "/hooks/welcome", "/hooks/second", 1)
	id := e.Post(edgetest.Ada).Entry()
	e.WaitState(id, outbox.Unrendered)
	e.Write("t.jsonnet", template)
	e.WaitForLog(`"msg":"template changed"`)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		// Each of the two hooks sees the change in its own time.
		if err := edgetest.Outbox().Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f := e.WaitState(id, outbox.Sent, outbox.Unrendered)
		if f.State == outbox.Sent {
			return
		}
		if !strings.Contains(f.Reason, "broken") {
			t.Fatalf("%+v", f)
		}
	}
	t.Fatal("it was never rendered")
}

// TestHooksBehindHandlePath share no key, though Caddy strips what tells their paths apart.
func TestHooksBehindHandlePath(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	hook := "mailchimp_hook {\ntemplate " + e.Path("t.jsonnet") + "\nauth header X-Hook-Key {env.HOOK_KEY}\n}\n"
	config := strings.Replace(e.Caddyfile(""), "metrics /metrics", "handle_path /one {\n"+hook+"}\nhandle_path /two {\n"+hook+"}\n", 1)
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

// TestCourierKeepsItsLink and no other query.
func TestCourierKeepsItsLink(t *testing.T) {
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	got := e.Post(`{"recipient":"ada@example.net","template_type":"verification_valid","template_data":{"verification_url":"https://ory.example/v?token=l1nk",` +
		`"request_url":"https://ory.example/r?return_to=t0ken"}}`)
	entry := e.WaitState(got.Entry(), outbox.Unrendered)
	if content := string(entry.Content); !strings.Contains(content, "l1nk") || strings.Contains(content, "t0ken") {
		t.Errorf("it keeps %s", content)
	}
}
