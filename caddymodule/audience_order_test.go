package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestAudienceLateMove takes out the address that a person left by a change that comes too late.
func TestAudienceLateMove(t *testing.T) {
	e := newAudienceEdge(t, brokenConsent, "")
	e.WaitState(e.Post(wants(true, "")).Entry(), outbox.Sent)
	other := func(newsletter bool, more string) string {
		return strings.Replace(wants(newsletter, more), "ada@example.net", "ada@example.org", 1)
	}
	late := e.Post(other(true, `,"old":"ada@example.net","broken":true`)).Entry()
	e.WaitState(late, outbox.Unrendered)
	e.WaitState(e.Post(other(false, "")).Entry(), outbox.Sent)
	e.Write("audience.jsonnet", consent)
	e.WaitForLog(`"msg":"template changed"`)
	if err := edgetest.Outbox().Retry(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	entry := e.WaitState(late, outbox.Discarded, outbox.Sent)
	if !strings.Contains(entry.Reason, "a later change") ||
		e.is("ada@example.net") != "archived" || e.is("ada@example.org") != "" {
		t.Errorf("entry %+v; the person is %q, and %q", entry, e.is("ada@example.net"), e.is("ada@example.org"))
	}
}

// TestAudienceKeepsOrder has an earlier change that can't be made yet go before a later one, and a change that comes
// too late left out.
func TestAudienceKeepsOrder(t *testing.T) {
	e := newAudienceEdge(t, brokenConsent, "")
	box := edgetest.Outbox()
	if err := e.members.Fail(members.Failure{Calls: 2, Status: 500}); err != nil {
		t.Fatal(err)
	}
	subscribed := e.Post(wants(true, "")).Entry()
	e.WaitForLog(`"msg":"entry is tried again"`)
	withdrawn := e.Post(wants(false, "")).Entry()
	e.WaitState(subscribed, outbox.Sent)
	if entry := e.WaitState(withdrawn, outbox.Sent); len(entry.Attempts) != 2 {
		t.Errorf("the wait isn't noted once: %+v", entry.Attempts)
	}
	if got := e.is("ada@example.net"); got != "archived" {
		t.Errorf("the person is %s", got)
	}
	e.members.Clear()
	late := e.Post(wants(true, `,"broken":true`)).Entry()
	e.WaitState(late, outbox.Unrendered)
	e.WaitState(e.Post(wants(false, `,"again":true`)).Entry(), outbox.Sent)
	e.Write("audience.jsonnet", consent)
	e.WaitForLog(`"msg":"template changed"`)
	if err := box.Retry(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if entry := e.WaitState(late, outbox.Discarded); !strings.Contains(entry.Reason, "a later change") ||
		e.is("ada@example.net") != "" {
		t.Errorf("entry %+v, the person is %q", entry, e.is("ada@example.net"))
	}
}

// TestAudienceHold holds the list alone while its account has trouble.
func TestAudienceHold(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	if err := e.members.Fail(members.Failure{Calls: 2, Status: 401, Title: "API Key Invalid"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(wants(true, "")).Entry()
	box := edgetest.Outbox()
	edgetest.WaitUntil(t, "the list is not held", func() bool {
		return strings.Contains(box.HoldsBySender()["list:l1"].Reason, "check api_key")
	})
	if held := box.Holds(); len(held) != 1 {
		t.Errorf("holds: %+v", held)
	}
	status := admin.StatusOf(t.Context(), caddymodule.Running())
	if status.Flows || !slices.Equal(status.Stopped, []string{"list:l1"}) ||
		!slices.Equal(status.Senders, []string{"example.com", "list:l1"}) {
		t.Errorf("the status is %+v", status)
	}
	e.WaitState(id, outbox.Sent)
	metrics := e.Call(e.Address, http.MethodGet, "/metrics", "")
	for _, want := range []string{
		`caddy_mailchimp_members_total{status="subscribed"}`,
		"caddy_mailchimp_audience_seconds_count", `sender="list:l1"`,
	} {
		if !strings.Contains(metrics.Body, want) {
			t.Errorf("%s is no metric", want)
		}
	}
}
