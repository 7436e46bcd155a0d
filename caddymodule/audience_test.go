package caddymodule_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestAudienceQueued(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	first := e.Post(wants(true, ""))
	id := first.Entry()
	if first.Status != http.StatusNoContent || id == "" {
		t.Fatalf("got %+v", first)
	}
	entry := e.WaitState(id, outbox.Sent)
	if entry.Sender != "list:l1" || entry.Hook != "/audience" || entry.Reason != "now subscribed" ||
		!slices.Equal(entry.Outcome, []outbox.Recipient{{Status: "subscribed"}}) || e.is("ada@example.net") != "subscribed" {
		t.Errorf("entry %+v, outcome %+v", entry, entry.Outcome)
	}
	if again := e.Post(wants(true, "")); again.Header.Get("Outbox-Duplicate") != "true" || again.Entry() != id {
		t.Errorf("the repeat: %+v", again)
	}
	// The same body at the mail's path is another hook.
	e.URL = "http://" + e.Address + "/hooks/welcome"
	if got := e.Post(wants(true, "")); got.Status != http.StatusNoContent || got.Header.Get("Outbox-Duplicate") != "" ||
		len(e.Sandbox.Mails()) != 1 {
		t.Errorf("the mail: %+v", got)
	}
}

// TestAudienceAnswers is a table of the answers, and of what becomes of the entries.
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
		{
			"sync", consent, sync, wants(true, ""), edgetest.Header("Accept", "*/*"),
			members.Failure{},
			200,
			`{"status":"sent","recipients":[{"email":"ada@example.net","status":"subscribed"}]}`, "",
		},
		{"sync to Ory", consent, sync, wants(true, ""), nil, members.Failure{}, 204, "", outbox.Sent},
		{"cancelled", `function(ctx) null`, "", wants(true, ""), nil, members.Failure{}, 204, "", ""},
		{
			"no credentials", consent, "", wants(true, ""), edgetest.Header("X-Hook-Key", ""),
			members.Failure{},
			401, "9401001",
			"",
		},
		{
			"misspelt", `function(ctx) { emial_address: 'ada@example.net' }`, "", wants(true, ""), nil,
			members.Failure{},
			204,
			"", outbox.Unrendered,
		},
		{
			"misspelt in sync", `function(ctx) { emial_address: 'ada@example.net' }`, sync, wants(true, ""), nil,
			members.Failure{},
			422, "9422002", "",
		},
		{"broken in sync", `function(ctx) error 'broken'`, sync, wants(true, ""), nil, members.Failure{}, 422, "9422001", ""},
		{
			"rejected", consent, "", strings.Replace(wants(true, ""), "ada@", "fake@", 1), nil,
			members.Failure{},
			204, "",
			outbox.Rejected,
		},
		{
			"rejected in sync", consent, sync, strings.Replace(wants(true, ""), "ada@", "fake@", 1), nil,
			members.Failure{},
			422,
			"9422003", "",
		},
		{
			"refused", consent, "", wants(true, ""), nil,
			members.Failure{Status: 400, Title: "Invalid Resource"},
			204, "",
			outbox.Dead,
		},
		{
			"refused in sync", consent, sync, wants(true, ""), nil,
			members.Failure{Status: 400, Title: "Invalid Resource"},
			422,
			"9422004", "",
		},
		{"down", consent, "", wants(true, ""), nil, members.Failure{Calls: 2, Status: 500}, 204, "", outbox.Sent},
		{
			"throttled", consent, "", wants(true, ""), nil,
			members.Failure{Calls: 2, Status: 403, Body: "<h1>"},
			204, "",
			outbox.Sent,
		},
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
			got := e.Post(test.body, test.change)
			if got.Status != test.status || !strings.Contains(got.Body, test.want) || test.want == "" && got.Body != "" {
				t.Errorf("got %+v", got)
			}
			if test.want == "9422003" && !slices.Equal(got.Pointers(), []string{"#/traits/email", "#/"}) {
				t.Errorf("it points at %q", got.Pointers())
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

func TestAudienceProvision(t *testing.T) {
	e := newAudienceEdge(t, consent, "")
	good := e.withAudience("")
	before, block, _ := strings.Cut(good, "mailchimp_audience")
	for _, test := range []struct{ name, old, new, want string }{
		{"no id", "list L1", "list a/b", `list: "a/b" is no id`},
		{"empty list", "list L1", "list {env.NOTHING}", "list"},
		{"empty key", "{env.MAILCHIMP_API_KEY}", "{env.NOTHING}", "api_key"},
		{
			"Mandrill's key", "{env.MAILCHIMP_API_KEY}\n\t\tlist L1\n\t\tapi_base " + e.base, "md-s3cret\n\t\tlist L1",
			"api_key: it must end with its data centre",
		},
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
	two := strings.Replace(good, "metrics /metrics",
		"metrics /metrics\nmailchimp_audience /other "+e.Path("audience.jsonnet")+
			" {\napi_key other-us1\nlist L1\nauth off\n}", 1)
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
