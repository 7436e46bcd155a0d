package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

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
		"refused":             {sandbox.Failure{Status: 422, Name: "ValidationError"}, outbox.Dead, "ValidationError"},
		"rejected":            {sandbox.Failure{RejectReason: "spam"}, outbox.Rejected, "denylist"},
		"forbidden by a rule": {sandbox.Failure{RejectReason: "rule"}, outbox.Dead, "a rule of the account"},
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
	if entry := e.WaitState(id, outbox.Sent); !strings.Contains(entry.Reason, "found at Mandrill") ||
		len(e.Sandbox.Mails()) != 1 {
		t.Errorf("%+v, %d mails", entry, len(e.Sandbox.Mails()))
	}
}

// TestUnknownOutcomeWithoutMetadata breaks each connection after Mandrill took a mail that no search can find, because
// its metadata has no room or has a field of that name: it is sent twice, and not again.
func TestUnknownOutcomeWithoutMetadata(t *testing.T) {
	for name, metadata := range map[string]string{
		"no room": `{ long: std.repeat('x', 230) }`, "taken": `{ outbox_entry: 'mine' }`,
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.NewWith(t, `function(ctx) { message: {
				from_email: 'hello@example.com', subject: 'Hi', text: 'Hi', to: [{ email: ctx.identity.traits.email }],
				metadata: if std.startsWith(ctx.identity.traits.email, 'ada') then `+metadata+` else {},
			} }`, "", "")
			cutOff := sandbox.Failure{Reset: "after", Endpoint: "messages/send", Contains: "ada@example.net", Calls: 4}
			if err := e.Sandbox.Fail(cutOff); err != nil {
				t.Fatal(err)
			}
			id := e.Post(edgetest.Ada).Entry()
			entry, others := outbox.Entry{}, 0
			edgetest.WaitUntil(t, "it never ends", func() bool {
				// What was sent after the attempt shows that searches find what there is.
				others++
				e.Post(fmt.Sprintf(`{"identity":{"traits":{"email":"bob%d@example.net"}}}`, others))
				entry = e.WaitState(id, outbox.Dead, outbox.Sent, outbox.Uncertain, outbox.Retrying, outbox.Sending)
				return entry.State == outbox.Dead || entry.State == outbox.Sent
			})
			sent := 0
			for _, mail := range e.Sandbox.Mails() {
				if mail.Recipients[0].Email == "ada@example.net" {
					sent++
				}
			}
			if entry.State != outbox.Dead || !strings.Contains(entry.Reason, "twice") || sent != 2 {
				t.Errorf("%+v, %d mails", entry, sent)
			}
		})
	}
}

// TestRetryFindsItsHook has two hooks share a template, each with a sender domain of its own.
func TestRetryFindsItsHook(t *testing.T) {
	const template = `function(ctx) {
		message: { from_email: 'hello@second.example', to: [{ email: ctx.identity.traits.email }] },
	}`
	e := edgetest.NewWith(t, `function(ctx) error 'broken'`, "", "")
	config := strings.Replace(e.Caddyfile("sender_domain first.example"), "metrics /metrics",
		"mailchimp_hook /hooks/second {\ntemplate "+e.Path("t.jsonnet")+
			"\nauth header X-Hook-Key {env.HOOK_KEY}\nsender_domain second.example\n}\n", 1)
	if err := e.Load(config); err != nil {
		t.Fatal(err)
	}
	e.URL = strings.Replace(e.URL, "/hooks/welcome", "/hooks/second", 1)
	id := e.Post(edgetest.Ada).Entry()
	e.WaitState(id, outbox.Unrendered)
	e.Write("t.jsonnet", template)
	e.WaitForLog(`"msg":"template changed"`)
	edgetest.WaitUntil(t, "the entry is never rendered", func() bool {
		// Each of the two hooks sees the change in its own time.
		if err := edgetest.Outbox().Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		entry := e.WaitState(id, outbox.Sent, outbox.Unrendered)
		if entry.State == outbox.Unrendered && !strings.Contains(entry.Reason, "broken") {
			t.Fatalf("%+v", entry)
		}
		return entry.State == outbox.Sent
	})
}
