package caddymodule_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// consent subscribes who agreed, follows an address, and archives that of who withdrew.
const consent = `function(ctx)
	local traits = ctx.identity.traits, email = traits.email, old = std.get(ctx, 'old');
	if std.get(traits, 'newsletter', false)
	then { email_address: email, status_if_new: 'subscribed', tags: ['kratos'], archive: old }
	else { archive: if old == null then email else old }`

// brokenConsent is consent, but for a ctx that is marked as broken.
const brokenConsent = `function(ctx) if std.get(ctx, 'broken', false) then error 'broken' else (` + consent + `)(ctx)`

// audienceEdge is an edge with an audience beside its hook.
type audienceEdge struct {
	*edgetest.Edge
	members *members.Sandbox
	base    string
}

func newAudienceEdge(t *testing.T, template, lines string) *audienceEdge {
	t.Helper()
	return newAudienceEdgeWith(t, template, lines, "")
}

// newAudienceEdgeWith runs a Caddy with the lines in the audience's and in the app's block.
func newAudienceEdgeWith(t *testing.T, template, lines, appLines string) *audienceEdge {
	t.Helper()
	e := &audienceEdge{Edge: edgetest.Prepare(t, edgetest.Minimal), members: members.New()}
	server := httptest.NewServer(e.members)
	t.Cleanup(server.Close)
	e.base = server.URL + "/3.0"
	e.Write("audience.jsonnet", template)
	t.Setenv("MAILCHIMP_API_KEY", "s3cret-us21")
	e.AppLines = appLines
	// At once: a server that a reload stops may still take a call.
	e.Run(e.withAudience(lines))
	e.URL = "http://" + e.Address + "/audience"
	return e
}

func (e *audienceEdge) withAudience(lines string) string {
	return strings.Replace(e.Caddyfile("delivery sync"), "metrics /metrics", fmt.Sprintf(`metrics /metrics
	mailchimp_audience /audience {
		template %s
		api_key {env.MAILCHIMP_API_KEY}
		list L1
		api_base %s
		auth header X-Hook-Key {env.HOOK_KEY}
		%s
	}`, e.Path("audience.jsonnet"), e.base, lines), 1)
}

// is tells the status of an address.
func (e *audienceEdge) is(address string) string {
	for _, member := range e.members.Members() {
		if member.Email == address && member.List == "L1" {
			return member.Status
		}
	}
	return ""
}

func wants(newsletter bool, more string) string {
	return fmt.Sprintf(`{"identity":{"traits":{"email":"ada@example.net","newsletter":%t}}%s}`, newsletter, more)
}

// unsubscribe is what a person does by the link in a campaign.
func (e *audienceEdge) unsubscribe(address string) {
	e.T.Helper()
	for _, member := range e.members.Members() {
		if member.Email != address {
			continue
		}
		r, err := http.NewRequest(http.MethodPatch, e.base+"/lists/L1/members/"+member.ID,
			strings.NewReader(`{"status":"unsubscribed"}`))
		if err != nil {
			e.T.Fatal(err)
		}
		r.SetBasicAuth("x", "key")
		if got, err := e.Do(r); err != nil || got.Status != http.StatusOK {
			e.T.Fatalf("got %+v, %v", got, err)
		}
	}
}
