package caddymodule_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// waitMails returns when the sandbox has received n mails.
func (e *edge) waitMails(n int) []*sandbox.Mail {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	mails, err := e.sandbox.Wait(ctx, n)
	if err != nil {
		e.t.Fatalf("%d mails of %d: %v", len(e.sandbox.Mails()), n, err)
	}
	return mails
}

// waitState returns when an entry is in a state.
func (e *edge) waitState(id string, state outbox.State) outbox.Entry {
	e.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		entry, err := caddymodule.LiveOutbox().Get(e.t.Context(), id)
		if err != nil {
			e.t.Fatal(err)
		}
		if entry.State == state {
			return entry
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("entry is %+v", entry)
		}
	}
}

func TestQueuedHook(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	first := e.post(ada)
	if first.status != http.StatusNoContent || first.body != "" || first.header.Get("Outbox-Entry") == "" || first.header.Get("Outbox-Duplicate") != "" {
		t.Errorf("Ory is answered %+v", first)
	}
	again := e.post(ada, header("Accept", "*/*"))
	var body struct {
		Status, ID string
		Duplicate  bool
	}
	if err := json.Unmarshal([]byte(again.body), &body); err != nil || again.status != http.StatusAccepted || body.Status != "queued" || !body.Duplicate ||
		body.ID != first.header.Get("Outbox-Entry") || again.header.Get("Outbox-Entry") != body.ID || again.header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("a person is answered %+v, %v", again, err)
	}
	mail := e.waitMails(1)[0]
	if mail.Message.Metadata["outbox_entry"] != body.ID {
		t.Errorf("metadata %v", mail.Message.Metadata)
	}
	entry := e.waitState(body.ID, outbox.Sent)
	if entry.Content != nil || !strings.Contains(string(entry.Outcome), "sent") {
		t.Errorf("%+v", entry)
	}
	if len(e.sandbox.Mails()) != 1 {
		t.Errorf("%d mails", len(e.sandbox.Mails()))
	}
}

// TestQueuedHookWithABrokenTemplate lets the person register, and sends the mail when the template is mended.
func TestQueuedHookWithABrokenTemplate(t *testing.T) {
	const ctx = `{"identity":{"traits":{"email":"ada@example.net"}},"request_cookies":{"session":"c00kie"},"request_url":"https://ory.example/x?token=t0ken",` +
		`"request_headers":{"Cookie":["c00kie"],"Accept-Language":["de"]},"flow":{"id":"f1","ui":{"nodes":["n0de"]},"return_to":"https://app.example/?a=t0ken"}}`
	e := newEdgeWith(t, strings.Replace(minimal, "traits.email", "traits.emial", 1), "", "")
	got := e.post(ctx)
	id := got.header.Get("Outbox-Entry")
	if got.status != http.StatusNoContent || id == "" {
		t.Fatalf("got %+v", got)
	}
	entry := e.waitState(id, outbox.Unrendered)
	for _, secret := range []string{"c00kie", "t0ken", "n0de"} {
		if strings.Contains(string(entry.Content), secret) {
			t.Errorf("%s is kept: %s", secret, entry.Content)
		}
	}
	if !strings.Contains(string(entry.Content), `"Accept-Language":["de"]`) || !strings.Contains(entry.Reason, "Field does not exist: emial") {
		t.Errorf("%+v: %s", entry, entry.Content)
	}
	if again := e.post(ctx); again.header.Get("Outbox-Entry") != id || again.header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("the repeat: %+v", again)
	}
	e.write("t.jsonnet", minimal)
	e.waitForLog(`"msg":"template changed"`)
	if err := caddymodule.LiveOutbox().Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if mail := e.waitMails(1)[0]; mail.Message.To[0].Email != "ada@example.net" {
		t.Errorf("%+v", mail)
	}
	e.waitState(id, outbox.Sent)
}

func TestQueuedHookWithoutAMessage(t *testing.T) {
	e := newEdgeWith(t, `function(ctx) if std.objectHas(ctx, 'cancel') then error 'cancel' else { message: { from_email: 'a@example.net', to: [{ email: 'ada@example.net' }] } }`, "", "")
	if got := e.post(`{"cancel":1}`); got.status != 204 || got.header.Get("Outbox-Entry") != "" {
		t.Errorf("cancelled: %+v", got)
	}
	got := e.post(`{"other":"domain"}`)
	if got.status != 204 {
		t.Fatalf("another domain: %+v", got)
	}
	if entry := e.waitState(got.header.Get("Outbox-Entry"), outbox.Unrendered); !strings.Contains(entry.Reason, "sender_domain") {
		t.Errorf("%+v", entry)
	}
}

// TestCourierExpires keeps a code no longer than it is of use.
func TestCourierExpires(t *testing.T) {
	e := newEdgeWith(t, `function(ctx) error 'broken'`, "", "")
	for body, want := range map[string]time.Duration{
		`{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":{"login_code":"1"}}`:                         15 * time.Minute,
		`{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":{"login_code":"2","expires_in_minutes":60}}`: time.Hour,
	} {
		got := e.post(body)
		entry := e.waitState(got.header.Get("Outbox-Entry"), outbox.Unrendered)
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
			e := newEdgeWith(t, minimal, "", "workers 2")
			if err := e.sandbox.Fail(failure); err != nil {
				t.Fatal(err)
			}
			const hooks = 10
			var ids []string
			for n := range hooks {
				got := e.post(strings.Replace(ada, "f1", fmt.Sprint(n), 1))
				if got.status != 204 {
					t.Fatalf("got %+v", got)
				}
				ids = append(ids, got.header.Get("Outbox-Entry"))
			}
			e.waitMails(hooks)
			for _, id := range ids {
				e.waitState(id, outbox.Sent)
			}
			if got := len(e.sandbox.Mails()); got != hooks {
				t.Errorf("%d mails", got)
			}
			if name == "suspended" && !strings.Contains(e.logs(), "check the account's plan and payment") {
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
			e := newEdgeWith(t, minimal, "", "")
			if err := e.sandbox.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			got := e.post(ada)
			entry := e.waitState(got.header.Get("Outbox-Entry"), test.state)
			if !strings.Contains(entry.Reason, test.reason) {
				t.Errorf("%+v", entry)
			}
			// The key is free: a person may try once more.
			if again := e.post(ada); again.header.Get("Outbox-Duplicate") != "" {
				t.Errorf("again: %+v", again)
			}
			e.waitState(e.post(ada).header.Get("Outbox-Entry"), outbox.Sent)
		})
	}
}

// TestUnknownOutcome breaks the connection after Mandrill took the mail: the search finds it.
func TestUnknownOutcome(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	if err := e.sandbox.Fail(sandbox.Failure{Reset: "after"}); err != nil {
		t.Fatal(err)
	}
	id := e.post(ada).header.Get("Outbox-Entry")
	if entry := e.waitState(id, outbox.Sent); !strings.Contains(entry.Reason, "found at Mandrill") || len(e.sandbox.Mails()) != 1 {
		t.Errorf("%+v, %d mails", entry, len(e.sandbox.Mails()))
	}
}

func TestQueuedUnderReloads(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	hooks := e.postUnderReloads("")
	e.waitMails(hooks)
	for _, state := range []outbox.State{outbox.Pending, outbox.Sending, outbox.Retrying} {
		for deadline := time.Now().Add(time.Minute); ; {
			entries, err := caddymodule.LiveOutbox().List(t.Context(), outbox.Filter{State: state})
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
	if got := len(e.sandbox.Mails()); got != hooks {
		t.Errorf("%d mails for %d hooks", got, hooks)
	}
}

// TestReloadLeavesNothingBehind refuses to turn away from an outbox with undelivered entries.
func TestReloadLeavesNothingBehind(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	if err := e.sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	id := e.post(ada).header.Get("Outbox-Entry")
	e.waitForLog("sender is held")
	other := strings.Replace(e.caddyfile(""), e.path("outbox.db"), e.path("other.db"), 1)
	off := strings.Replace(e.caddyfile("delivery sync"), "outbox sqlite "+e.path("outbox.db"), "outbox off", 1)
	for name, caddyfile := range map[string]string{"another file": other, "off": off} {
		if err := e.load(caddyfile); err == nil || !strings.Contains(err.Error(), "1 undelivered entries") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What runs goes on.
	if got := e.post(strings.Replace(ada, "f1", "f2", 1)); got.status != 204 {
		t.Errorf("got %+v", got)
	}
	// The operator may discard what waits, and then load it.
	for _, id := range []string{id, e.post(strings.Replace(ada, "f1", "f2", 1)).header.Get("Outbox-Entry")} {
		for err := outbox.ErrNotFound; err != nil; {
			// The entry that probes is being sent for a moment.
			if err = caddymodule.LiveOutbox().Discard(t.Context(), id); err != nil && !errors.Is(err, outbox.ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	if err := e.load(other); err != nil {
		t.Error(err)
	}
}

func TestOutboxOff(t *testing.T) {
	e := newEdge(t, minimal, "")
	off := func(lines string) string {
		return strings.Replace(e.caddyfile(lines), "outbox sqlite "+e.path("outbox.db"), "outbox off", 1)
	}
	if err := e.load(off("")); err == nil || !strings.Contains(err.Error(), "delivery queued needs the outbox") {
		t.Errorf("queued: %v", err)
	}
	if err := e.load(off("delivery sync")); err != nil {
		t.Fatal(err)
	}
	if got := e.post(ada); got.status != 204 || len(e.sandbox.Mails()) != 1 {
		t.Errorf("sync: %+v", got)
	}
}

func TestOutboxIsFull(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "max_pending 1")
	if err := e.sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	e.post(ada)
	got := e.post(strings.Replace(ada, "f1", "f2", 1))
	if got.status != http.StatusServiceUnavailable || got.id() != ory.ErrStore.ID || got.header.Get("Retry-After") != "" {
		t.Errorf("got %+v", got)
	}
}

// TestSyncIsRecorded repeats hooks after the process forgot them, as after a restart or at another edge.
func TestSyncIsRecorded(t *testing.T) {
	e := newEdgeWith(t, minimal, "delivery sync", "")
	forget := func() {
		if err := e.load(e.caddyfile("delivery sync\nmax_body 2MB")); err != nil {
			t.Fatal(err)
		}
		caddymodule.ForgetRecords()
	}
	first := e.post(ada, header("Accept", "*/*"))
	id := first.header.Get("Outbox-Entry")
	if first.status != 200 || id == "" {
		t.Fatalf("got %+v", first)
	}
	if entry := e.waitState(id, outbox.Sent); entry.Content != nil || strings.Contains(string(entry.Outcome), "ada@") {
		t.Errorf("%+v", entry)
	}
	forget()
	again := e.post(ada, header("Accept", "*/*"))
	if again.status != 200 || again.body != first.body || again.header.Get("Outbox-Entry") != id || again.header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	// A queued hook knows the key too, and the other way round.
	if err := e.load(e.caddyfile("")); err != nil {
		t.Fatal(err)
	}
	if again := e.post(ada); again.status != 204 || again.header.Get("Outbox-Entry") != id || again.header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("queued: %+v", again)
	}
	const bob = `{"identity":{"traits":{"email":"bob@example.net"}}}`
	queued := e.post(bob)
	e.waitState(queued.header.Get("Outbox-Entry"), outbox.Sent)
	forget()
	if again := e.post(bob); again.status != 204 || again.header.Get("Outbox-Entry") != queued.header.Get("Outbox-Entry") || again.header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("sync after queued: %+v", again)
	}
	if n := len(e.sandbox.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
	// What isn't known is not sent again.
	if err := e.sandbox.Fail(sandbox.Failure{Reset: "after"}); err != nil {
		t.Fatal(err)
	}
	const carl = `{"identity":{"traits":{"email":"carl@example.net"}}}`
	if got := e.post(carl); got.status != 503 {
		t.Errorf("unknown: %+v", got)
	}
	forget()
	if got := e.post(carl); got.status != 503 || got.header.Get("Outbox-Duplicate") != "true" || len(e.sandbox.Mails()) != 3 {
		t.Errorf("unknown, again: %+v, %d mails", got, len(e.sandbox.Mails()))
	}
	// What didn't go out may be tried again.
	if err := e.sandbox.Fail(sandbox.Failure{Status: 500}); err != nil {
		t.Fatal(err)
	}
	const dora = `{"identity":{"traits":{"email":"dora@example.net"}}}`
	if got := e.post(dora); got.status != 503 {
		t.Errorf("down: %+v", got)
	}
	if got := e.post(dora); got.status != 204 || got.header.Get("Outbox-Duplicate") != "" {
		t.Errorf("up again: %+v", got)
	}
}

// TestSyncIsHeld has Mandrill queue a mail for the account's sake: the outbox looks after it from then on.
func TestSyncIsHeld(t *testing.T) {
	e := newEdgeWith(t, minimal, "delivery sync", "")
	if err := e.sandbox.Fail(sandbox.Failure{QueuedReason: "sending-paused"}); err != nil {
		t.Fatal(err)
	}
	got := e.post(ada)
	if got.status != 204 {
		t.Fatalf("got %+v", got)
	}
	id := got.header.Get("Outbox-Entry")
	e.waitState(id, outbox.Retrying)
	e.sandbox.Recover()
	e.waitState(id, outbox.Sent)
	if n := len(e.sandbox.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestRetryFindsItsHook has two hooks share a template, each with a sender domain of its own.
func TestRetryFindsItsHook(t *testing.T) {
	const template = `function(ctx) { message: { from_email: 'hello@second.example', to: [{ email: ctx.identity.traits.email }] } }`
	e := newEdgeWith(t, `function(ctx) error 'broken'`, "", "")
	config := strings.Replace(e.caddyfile("sender_domain first.example"), "metrics /metrics", "mailchimp_hook /hooks/second {\ntemplate "+
		e.path("t.jsonnet")+"\nauth header X-Hook-Key {env.HOOK_KEY}\nsender_domain second.example\n}\n", 1)
	if err := e.load(config); err != nil {
		t.Fatal(err)
	}
	e.url = strings.Replace(e.url, "/hooks/welcome", "/hooks/second", 1)
	id := e.post(ada).header.Get("Outbox-Entry")
	e.waitState(id, outbox.Unrendered)
	e.write("t.jsonnet", template)
	e.waitForLog(`"msg":"template changed"`)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		// Each of the two hooks sees the change in its own time.
		if err := caddymodule.LiveOutbox().Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f := e.afterRetry(id)
		if f.State == outbox.Sent {
			return
		}
		if !strings.Contains(f.Reason, "broken") {
			t.Fatalf("%+v", f)
		}
	}
	t.Fatal("it was never rendered")
}

// afterRetry returns the entry when it was tried.
func (e *edge) afterRetry(id string) outbox.Entry {
	e.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		entry, err := caddymodule.LiveOutbox().Get(e.t.Context(), id)
		if err != nil {
			e.t.Fatal(err)
		}
		if entry.State == outbox.Sent || entry.State == outbox.Unrendered {
			return entry
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("entry is %+v", entry)
		}
	}
}

// TestHooksBehindHandlePath share no key, though Caddy strips what tells their paths apart.
func TestHooksBehindHandlePath(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	hook := "mailchimp_hook {\ntemplate " + e.path("t.jsonnet") + "\nauth header X-Hook-Key {env.HOOK_KEY}\n}\n"
	config := strings.Replace(e.caddyfile(""), "metrics /metrics", "handle_path /one {\n"+hook+"}\nhandle_path /two {\n"+hook+"}\n", 1)
	// At the level DEBUG, Caddy's own rewriting logs all headers.
	if err := e.load(strings.Replace(config, "level DEBUG", "level INFO", 1)); err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(e.url, "/hooks/welcome")
	for _, path := range []string{"/one", "/two"} {
		e.url = base + path
		got := e.post(ada)
		if got.status != 204 || got.header.Get("Outbox-Duplicate") != "" {
			t.Errorf("%s: %+v", path, got)
		}
		if entry := e.waitState(got.header.Get("Outbox-Entry"), outbox.Sent); entry.Hook != path {
			t.Errorf("%s: the entry says %s", path, entry.Hook)
		}
	}
}

// TestCourierKeepsItsLink and no other query.
func TestCourierKeepsItsLink(t *testing.T) {
	e := newEdgeWith(t, `function(ctx) error 'broken'`, "", "")
	got := e.post(`{"recipient":"ada@example.net","template_type":"verification_valid","template_data":{"verification_url":"https://ory.example/v?token=l1nk",` +
		`"request_url":"https://ory.example/r?return_to=t0ken"}}`)
	entry := e.waitState(got.header.Get("Outbox-Entry"), outbox.Unrendered)
	if content := string(entry.Content); !strings.Contains(content, "l1nk") || strings.Contains(content, "t0ken") {
		t.Errorf("it keeps %s", content)
	}
}
