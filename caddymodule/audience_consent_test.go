package caddymodule_test

import (
	"fmt"
	"net/http"
	"testing"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestAudienceConsent follows a person through hooks.
func TestAudienceConsent(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	step := 0
	send := func(newsletter bool, more string) {
		t.Helper()
		step++
		got := e.Post(wants(newsletter, fmt.Sprintf(`%s,"step":%d`, more, step)))
		e.WaitState(got.Entry(), outbox.Sent)
	}
	is := func(address, want string) {
		t.Helper()
		if got := e.is(address); got != want {
			t.Errorf("step %d: %s is %q, not %q", step, address, got, want)
		}
	}
	send(false, "")
	is("ada@example.net", "")
	send(true, "")
	is("ada@example.net", "subscribed")
	send(true, `,"old":"ada@example.org"`)
	is("ada@example.net", "subscribed")
	send(false, "")
	is("ada@example.net", "archived")
	send(true, "")
	is("ada@example.net", "pending")
	e.unsubscribe("ada@example.net")
	send(true, "")
	is("ada@example.net", "unsubscribed")
	// The person takes another address, and had not unsubscribed that one.
	got := e.Post(`{"identity":{"traits":{"email":"ada@example.org","newsletter":true}},"old":"ada@example.net"}`)
	e.WaitState(got.Entry(), outbox.Sent)
	is("ada@example.org", "unsubscribed")
	is("ada@example.net", "unsubscribed")
}

// TestAudienceRestated has a person change their mind twice, with bodies that are equal.
func TestAudienceRestated(t *testing.T) {
	for _, delivery := range []string{"delivery queued", "delivery sync"} {
		t.Run(delivery, func(t *testing.T) {
			e := newAudienceEdge(t, consent, delivery)
			for i, newsletter := range []bool{true, false, true, false, false} {
				got := e.Post(wants(newsletter, ""))
				if got.Status != http.StatusNoContent {
					t.Fatalf("step %d: got %+v", i, got)
				}
				e.WaitState(got.Entry(), outbox.Sent)
				// The last one is Ory's repeat.
				if repeat := got.Header.Get("Outbox-Duplicate") == "true"; repeat != (i == 4) {
					t.Errorf("step %d: a repeat: %t", i, repeat)
				}
				want := map[bool]string{false: "archived", true: "subscribed"}[newsletter]
				if i == 2 {
					want = "pending"
				}
				if is := e.is("ada@example.net"); is != want {
					t.Errorf("step %d: the person is %s, not %s", i, is, want)
				}
			}
		})
	}
}

// TestAudienceRepeated knows Ory's repeat of a call by its trigger's id, whatever came between and however long entries
// are kept.
func TestAudienceRepeated(t *testing.T) {
	for _, appLines := range []string{"", "keep 10m"} {
		t.Run(appLines, func(t *testing.T) {
			e := newAudienceEdgeWith(t, consent, "", appLines)
			for i, step := range []struct {
				newsletter bool
				trigger    string
			}{{true, "one"}, {false, "two"}, {true, "one"}} {
				got := e.Post(wants(step.newsletter, ""), edgetest.Header("Ory-Webhook-Trigger-Id", step.trigger))
				e.WaitState(got.Entry(), outbox.Sent)
				if repeat := got.Header.Get("Outbox-Duplicate") == "true"; repeat != (i == 2) {
					t.Errorf("step %d: a repeat: %t", i, repeat)
				}
			}
			if is := e.is("ada@example.net"); is != "archived" {
				t.Errorf("the person is %s", is)
			}
		})
	}
}

// TestAudienceRevived asks a person whose consent is retried so late that a withdrawal would be forgotten.
func TestAudienceRevived(t *testing.T) {
	e := newAudienceEdgeWith(t, consent, "", "keep 1ms")
	if err := e.members.Fail(members.Failure{Status: 400, Title: "Invalid Resource"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(wants(true, "")).Entry()
	e.WaitState(id, outbox.Dead)
	if err := edgetest.Outbox().Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e.WaitForLog(`"outcome":"sent"`)
	if is := e.is("ada@example.net"); is != "pending" {
		t.Errorf("the person is %s", is)
	}
}

// TestAudienceRepeats repeats, after a withdrawal, what couldn't be rendered before it.
func TestAudienceRepeats(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) if ctx.wants then error 'broken' else { archive: ctx.email }`, "")
	says := func(yes bool) string { return fmt.Sprintf(`{"email":"ada@example.net","wants":%t}`, yes) }
	first := e.Post(says(true)).Entry()
	e.WaitState(first, outbox.Unrendered)
	e.Write("audience.jsonnet", `function(ctx)
		if ctx.wants then { email_address: ctx.email, status_if_new: 'subscribed' } else { archive: ctx.email }`)
	e.WaitForLog(`"msg":"template changed"`)
	e.WaitState(e.Post(says(false)).Entry(), outbox.Sent)
	again := e.Post(says(true))
	if again.Header.Get("Outbox-Duplicate") == "true" || again.Entry() == first {
		t.Fatalf("%d %v", again.Status, again.Header)
	}
	e.WaitState(again.Entry(), outbox.Sent)
	if is := e.is("ada@example.net"); is != "subscribed" {
		t.Errorf("the person is %q", is)
	}
}
