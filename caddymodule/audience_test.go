package caddymodule_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// consent subscribes who agreed, follows an address, and archives that of who withdrew.
const consent = `function(ctx)
	local email = ctx.identity.traits.email, old = std.get(ctx, 'old'), wants = std.get(ctx.identity.traits, 'newsletter', false);
	if wants then { email_address: email, status_if_new: 'subscribed', tags: ['kratos'], archive: old } else { archive: if old == null then email else old }`

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
		r, err := http.NewRequest(http.MethodPatch, e.base+"/lists/L1/members/"+member.ID, strings.NewReader(`{"status":"unsubscribed"}`))
		if err != nil {
			e.T.Fatal(err)
		}
		r.SetBasicAuth("x", "key")
		if got, err := e.Do(r); err != nil || got.Status != http.StatusOK {
			e.T.Fatalf("got %+v, %v", got, err)
		}
	}
}

func TestAudienceQueued(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	first := e.Post(wants(true, ""))
	id := first.Entry()
	if first.Status != http.StatusNoContent || id == "" {
		t.Fatalf("got %+v", first)
	}
	entry := e.WaitState(id, outbox.Sent)
	if entry.Sender != "list:l1" || entry.Hook != "/audience" || entry.Reason != "now subscribed" || string(entry.Outcome) != `[{"email":"","status":"subscribed"}]` || e.is("ada@example.net") != "subscribed" {
		t.Errorf("entry %+v, outcome %s", entry, entry.Outcome)
	}
	if again := e.Post(wants(true, "")); again.Header.Get("Outbox-Duplicate") != "true" || again.Entry() != id {
		t.Errorf("the repeat: %+v", again)
	}
	// The same body at the mail's path is another hook.
	e.URL = "http://" + e.Address + "/hooks/welcome"
	if got := e.Post(wants(true, "")); got.Status != http.StatusNoContent || got.Header.Get("Outbox-Duplicate") != "" || len(e.Sandbox.Mails()) != 1 {
		t.Errorf("the mail: %+v", got)
	}
}

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

// TestAudienceRepeated knows Ory's repeat of a call by its trigger's id, whatever came between and however long entries are kept.
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

// TestAudienceLateMove takes out the address that a person left by a change that comes too late.
func TestAudienceLateMove(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) if std.get(ctx, 'broken', false) then error 'broken' else (`+consent+`)(ctx)`, "")
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
	for deadline := time.Now().Add(time.Minute); ; {
		entry, err := edgetest.Outbox().Get(t.Context(), late)
		if err != nil {
			t.Fatal(err)
		}
		if entry.State == outbox.Discarded || entry.State == outbox.Sent {
			if !strings.Contains(entry.Reason, "a later change") || e.is("ada@example.net") != "archived" || e.is("ada@example.org") != "" {
				t.Errorf("entry %+v; the person is %q, and %q", entry, e.is("ada@example.net"), e.is("ada@example.org"))
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("entry is %+v", entry)
		}
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

func TestAudienceAnswers(t *testing.T) {
	const sync = "delivery sync"
	for _, test := range []struct {
		name, template, lines, body string
		change                      func(*http.Request)
		failure                     members.Failure
		status                      int
		want                        string
		state                       outbox.State
	}{
		{"sync", consent, sync, wants(true, ""), edgetest.Header("Accept", "*/*"), members.Failure{}, 200, `{"status":"sent","recipients":[{"email":"ada@example.net","status":"subscribed"}]}`, ""},
		{"sync to Ory", consent, sync, wants(true, ""), nil, members.Failure{}, 204, "", outbox.Sent},
		{"cancelled", `function(ctx) null`, "", wants(true, ""), nil, members.Failure{}, 204, "", ""},
		{"no credentials", consent, "", wants(true, ""), edgetest.Header("X-Hook-Key", ""), members.Failure{}, 401, "9401001", ""},
		{"misspelt", `function(ctx) { emial_address: 'ada@example.net' }`, "", wants(true, ""), nil, members.Failure{}, 204, "", outbox.Unrendered},
		{"misspelt in sync", `function(ctx) { emial_address: 'ada@example.net' }`, sync, wants(true, ""), nil, members.Failure{}, 422, "9422002", ""},
		{"broken in sync", `function(ctx) error 'broken'`, sync, wants(true, ""), nil, members.Failure{}, 422, "9422001", ""},
		{"rejected", consent, "", strings.Replace(wants(true, ""), "ada@", "fake@", 1), nil, members.Failure{}, 204, "", outbox.Rejected},
		{"rejected in sync", consent, sync, strings.Replace(wants(true, ""), "ada@", "fake@", 1), nil, members.Failure{}, 422, "9422003", ""},
		{"refused", consent, "", wants(true, ""), nil, members.Failure{Status: 400, Title: "Invalid Resource"}, 204, "", outbox.Dead},
		{"refused in sync", consent, sync, wants(true, ""), nil, members.Failure{Status: 400, Title: "Invalid Resource"}, 422, "9422004", ""},
		{"down", consent, "", wants(true, ""), nil, members.Failure{Calls: 2, Status: 500}, 204, "", outbox.Sent},
		{"throttled", consent, "", wants(true, ""), nil, members.Failure{Calls: 2, Status: 403, Body: "<h1>"}, 204, "", outbox.Sent},
		{"cut off", consent, "", wants(true, ""), nil, members.Failure{Reset: "after"}, 204, "", outbox.Sent},
		{"down in sync", consent, sync, wants(true, ""), nil, members.Failure{Status: 500}, 503, "9503002", ""},
		{"cut off in sync", consent, sync, wants(true, ""), nil, members.Failure{Reset: "after"}, 503, "9503002", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newAudienceEdge(t, test.template, test.lines)
			if test.failure != (members.Failure{}) {
				if err := e.members.Fail(test.failure); err != nil {
					t.Fatal(err)
				}
			}
			var changes []func(*http.Request)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			got := e.Post(test.body, changes...)
			if got.Status != test.status || !strings.Contains(got.Body, test.want) || test.want == "" && got.Body != "" {
				t.Errorf("got %+v", got)
			}
			if strings.Contains(got.Body, "e-mail") {
				t.Errorf("it speaks of mails: %s", got.Body)
			}
			if test.state != "" {
				e.WaitState(got.Entry(), test.state)
			}
			if test.status == 503 {
				// Nothing is on record: the repeat makes the change.
				if again := e.Post(test.body); again.Status != http.StatusNoContent || e.is("ada@example.net") != "subscribed" {
					t.Errorf("the repeat: %+v", again)
				}
			}
		})
	}
}

// TestAudienceKeepsOrder has an earlier change that can't be made yet go before a later one, and a change that comes
// too late left out.
func TestAudienceKeepsOrder(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) if std.get(ctx, 'broken', false) then error 'broken' else (`+consent+`)(ctx)`, "")
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
	if entry := e.WaitState(late, outbox.Discarded); !strings.Contains(entry.Reason, "a later change") || e.is("ada@example.net") != "" {
		t.Errorf("entry %+v, the person is %q", entry, e.is("ada@example.net"))
	}
}

// TestAudienceHold holds the list alone while its account has trouble.
func TestAudienceHold(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	if err := e.members.Fail(members.Failure{Calls: 3, Status: 401, Title: "API Key Invalid"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(wants(true, "")).Entry()
	box := edgetest.Outbox()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(box.Holds()["list:l1"].Reason, "check api_key"); {
		if time.Now().After(deadline) {
			t.Fatalf("holds: %+v", box.Holds())
		}
	}
	if held := box.Holds(); len(held) != 1 {
		t.Errorf("holds: %+v", held)
	}
	status := admin.StatusOf(t.Context(), caddymodule.Running())
	if status.Flows || !slices.Equal(status.Stopped, []string{"list:l1"}) ||
		!slices.Equal(status.Senders, []string{"example.com", "list:l1"}) {
		t.Errorf("the status is %+v", status)
	}
	e.WaitState(id, outbox.Sent)
	r, err := http.NewRequest(http.MethodGet, "http://"+e.Address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := e.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`caddy_mailchimp_members_total{status="subscribed"}`, "caddy_mailchimp_audience_seconds_count", `sender="list:l1"`} {
		if !strings.Contains(metrics.Body, want) {
			t.Errorf("%s is no metric", want)
		}
	}
}

func TestAudienceProvision(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	good := e.withAudience("")
	before, block, _ := strings.Cut(good, "mailchimp_audience")
	for _, test := range []struct{ name, old, new, want string }{
		{"no id", "list L1", "list a/b", `list: "a/b" is no id`},
		{"empty list", "list L1", "list {env.NOTHING}", "list"},
		{"empty key", "{env.MAILCHIMP_API_KEY}", "{env.NOTHING}", "api_key"},
		{"Mandrill's key", "{env.MAILCHIMP_API_KEY}\n\t\tlist L1\n\t\tapi_base " + e.base, "md-s3cret\n\t\tlist L1", "api_key: it must end with its data centre"},
		{"base", "api_base " + e.base, "api_base ftp://x", "api_base: it must be a URL"},
		{"no auth", "auth header X-Hook-Key {env.HOOK_KEY}", "", "auth is missing"},
		{"no template", "audience.jsonnet", "none.jsonnet", "loading template"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := e.Load(before + "mailchimp_audience" + strings.Replace(block, test.old, test.new, 1))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v", err)
			}
		})
	}
	two := strings.Replace(good, "metrics /metrics", "metrics /metrics\nmailchimp_audience /other "+e.Path("audience.jsonnet")+" {\napi_key other-us1\nlist L1\nauth off\n}", 1)
	if err := e.Load(two); err == nil || !strings.Contains(err.Error(), "list L1 has two different api_keys") {
		t.Errorf("two keys for a list: %v", err)
	}
}

// TestAudienceExample provisions what a reader may copy.
func TestAudienceExample(t *testing.T) {
	t.Chdir("../examples/audience")
	caddyfile, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MANDRILL_API_KEY", "key")
	t.Setenv("MAILCHIMP_API_KEY", "key-us1")
	t.Setenv("HOOK_KEY", edgetest.HookKey)
	if err := validate(t, string(caddyfile)); err != nil {
		t.Error(err)
	}
}

// TestAudienceSaysAnew says anew, after a withdrawal, what couldn't be rendered before it.
func TestAudienceSaysAnew(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) if ctx.wants then error 'broken' else { archive: ctx.email }`, "")
	says := func(yes bool) string { return fmt.Sprintf(`{"email":"ada@example.net","wants":%t}`, yes) }
	first := e.Post(says(true)).Entry()
	e.WaitState(first, outbox.Unrendered)
	e.Write("audience.jsonnet", `function(ctx) if ctx.wants then { email_address: ctx.email, status_if_new: 'subscribed' } else { archive: ctx.email }`)
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

// TestUnrenderedOfAPerson keeps an address once that ctx has several times.
func TestUnrenderedOfAPerson(t *testing.T) {
	e := newAudienceEdge(t, `function(ctx) error 'broken'`, "")
	id := e.Post(`{"identity":{"traits":{"email":"ada@example.net"},"verifiable_addresses":[{"value":"ada@example.net"},{"value":"other@example.net"}]}}`).Entry()
	if entry := e.WaitState(id, outbox.Unrendered); len(entry.Recipients) != 2 {
		t.Errorf("recipients %v", entry.Recipients)
	}
}
