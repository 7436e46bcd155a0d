package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestQueuedHookWithABrokenTemplate lets the person register, and sends the mail when the template is fixed.
func TestQueuedHookWithABrokenTemplate(t *testing.T) {
	const ctx = `{
		"identity":{"traits":{"email":"ada@example.net"}},
		"request_cookies":{"session":"c00kie"},
		"request_url":"https://ory.example/x?token=t0ken",
		"request_headers":{"Cookie":["c00kie"],"Accept-Language":["de"]},
		"flow":{
			"id":"f1","ui":{"nodes":["n0de"]},"return_to":"https://app.example/?a=t0ken","session_token":"t0ken",
			"session_token_exchange_code":"t0ken","oauth2_login_challenge":"t0ken",
			"oauth2_login_request":{"challenge":"t0ken"},
			"continue_with":[{"action":"set_ory_session_token","ory_session_token":"t0ken"}]
		}
	}`
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
	if !strings.Contains(string(entry.Content), `"Accept-Language":["de"]`) ||
		!strings.Contains(entry.Reason, "Field does not exist: emial") {
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

// TestCourierExpires keeps a code no longer than it is of use.
func TestCourierExpires(t *testing.T) {
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	for body, want := range map[string]time.Duration{
		`{"login_code":"1"}`:                         15 * time.Minute,
		`{"login_code":"2","expires_in_minutes":60}`: time.Hour,
		`{"login_code":"3","expires_in_minutes":0}`:  time.Minute,
	} {
		got := e.Post(`{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":` + body + `}`)
		entry := e.WaitState(got.Entry(), outbox.Unrendered)
		if left := time.Until(entry.Expires); left > want || left < want-time.Minute || !entry.Private {
			t.Errorf("%s: expires in %v, private %v", body, left, entry.Private)
		}
	}
}

// TestCourierIsRetried has a code go out as soon as the template is fixed, and leaves other mails to the operator.
func TestCourierIsRetried(t *testing.T) {
	const courier = `{"recipient":"ada@example.net","template_type":"login_code_valid","template_data":{"login_code":"1"}}`
	const person = `{"identity":{"traits":{"email":"grace@example.net"}},"flow":{"id":"f1"}}`
	fixed := strings.Replace(edgetest.Minimal, "ctx.identity.traits.email",
		"if 'recipient' in ctx then ctx.recipient else ctx.identity.traits.email", 1)
	for _, how := range []string{"file", "reload"} {
		t.Run(how, func(t *testing.T) {
			e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
			code, registered := e.Post(courier).Entry(), e.Post(person).Entry()
			e.WaitState(code, outbox.Unrendered)
			e.WaitState(registered, outbox.Unrendered)
			e.Write("t.jsonnet", fixed)
			if how == "reload" {
				if err := e.Load(e.Caddyfile("")); err != nil {
					t.Fatal(err)
				}
			}
			if mail := e.WaitMails(1)[0]; mail.Message.To[0].Email != "ada@example.net" {
				t.Errorf("%+v", mail)
			}
			e.WaitState(code, outbox.Sent)
			e.WaitState(registered, outbox.Unrendered)
		})
	}
}

// TestCourierKeepsItsLink and no other query.
func TestCourierKeepsItsLink(t *testing.T) {
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	got := e.Post(`{"recipient":"ada@example.net","template_type":"verification_valid","template_data":{
		"verification_url":"https://ory.example/v?token=l1nk",
		"request_url":"https://ory.example/r?return_to=t0ken"
	}}`)
	entry := e.WaitState(got.Entry(), outbox.Unrendered)
	if content := string(entry.Content); !strings.Contains(content, "l1nk") || strings.Contains(content, "t0ken") {
		t.Errorf("it keeps %s", content)
	}
}

// TestUnrenderedOfAPerson keeps an address once that ctx has several times.
func TestUnrenderedOfAPerson(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) error 'broken'`, "")
	id := e.Post(`{"identity":{
		"traits":{"email":"ada@example.net"},
		"verifiable_addresses":[{"value":"ada@example.net"},{"value":"other@example.net"}]
	}}`).Entry()
	if entry := e.WaitState(id, outbox.Unrendered); len(entry.Recipients) != 2 {
		t.Errorf("recipients %v", entry.Recipients)
	}
}
