package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// keyed is Minimal with an idempotency key, if ctx has one.
const keyed = `function(ctx) (` + edgetest.Minimal + `)(ctx) +
	{ delivery: { idempotency_key: std.get(ctx, 'key', '') } }`

// withKey is a ctx for keyed.
func withKey(flow, key string) string {
	return strings.Replace(edgetest.Ada, `"f1"}`, fmt.Sprintf(`"%s"},"key":"%s"`, flow, key), 1)
}

func withQuery(query string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery = query }
}

func withPath(path string) func(*http.Request) {
	return func(r *http.Request) { r.URL.Path = path }
}

// TestKeysOfHooks calls hooks that a query tells apart with what could make them share a key.
func TestKeysOfHooks(t *testing.T) {
	e := edgetest.NewWith(t, keyed, "", "")
	e.Write("second.jsonnet", keyed)
	second := "@second query hook=second\n\tmailchimp_hook @second {\n\t\ttemplate " + e.Path("second.jsonnet") +
		"\n\t\tauth header X-Hook-Key {env.HOOK_KEY}\n\t}\n"
	both := strings.Replace(e.Caddyfile(""), "metrics /metrics\n", "metrics /metrics\n\t"+second, 1)
	if err := e.Load(both); err != nil {
		t.Fatal(err)
	}
	mails := 0
	for _, step := range []struct {
		name      string
		body      string
		change    func(*http.Request)
		header    string
		duplicate bool
	}{
		{"first", edgetest.Ada, nil, "", false},
		{"again", edgetest.Ada, nil, "", true},
		{"second hook", edgetest.Ada, withQuery("hook=second"), "", false},
		{"second hook again", edgetest.Ada, withQuery("hook=second"), "", true},
		{"first hook, another query", edgetest.Ada, withQuery("hook=other"), "", false},
		{"header", edgetest.Ada, nil, "h", false},
		{"header at the second hook", edgetest.Ada, withQuery("hook=second"), "h", false},
		{"template", withKey("f2", "k"), nil, "", false},
		{"the template's key at another URL", withKey("f3", "k"), withPath("/hooks/other"), "", true},
		{"the template's key with another header", withKey("f4", "k"), nil, "other", true},
		{"the template's key in another template", withKey("f5", "k"), withQuery("hook=second"), "", false},
		{"the header, before there was a key", withKey("f6", "new"), nil, "h", true},
	} {
		got := e.Post(step.body, step.change, edgetest.Header("Idempotency-Key", step.header))
		if got.Status != 204 || (got.Header.Get("Outbox-Duplicate") == "true") != step.duplicate {
			t.Errorf("%s: %+v", step.name, got)
		}
		if !step.duplicate {
			mails++
		}
	}
	e.WaitMails(mails)
}

// TestKeysOverAReload repeats a call after a reload that leaves what identifies the hook.
func TestKeysOverAReload(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	t.Setenv("TEMPLATES", e.Path(""))
	configured := func(lines string) string {
		return strings.Replace(e.Caddyfile(lines), "template "+e.Path("t.jsonnet"), "template {env.TEMPLATES}/t.jsonnet", 1)
	}
	if err := e.Load(configured("")); err != nil {
		t.Fatal(err)
	}
	first := e.Post(edgetest.Ada)
	e.WaitState(first.Entry(), outbox.Sent)
	e.Write("moved.jsonnet", edgetest.Minimal)
	for _, lines := range []string{
		"from hello@example.com", "sender_domain example.com example.org", "delivery sync", "",
	} {
		t.Setenv("TEMPLATES", e.Path(".")+"/.")
		if err := e.Load(configured(lines)); err != nil {
			t.Fatal(err)
		}
		if got := e.Post(edgetest.Ada); got.Entry() != first.Entry() || got.Header.Get("Outbox-Duplicate") != "true" {
			t.Errorf("after a reload with %q: %+v", lines, got)
		}
	}
	if mails := e.Sandbox.Mails(); len(mails) != 1 {
		t.Errorf("%d mails", len(mails))
	}
}

// TestKeyAfterRendering has calls arrive before their template can give a key.
func TestKeyAfterRendering(t *testing.T) {
	const broken = `function(ctx) if std.objectHas(ctx, 'never') then (` + keyed + `)(ctx) else error 'broken'`
	e := edgetest.NewWith(t, broken, "", "")
	first, second := e.Post(withKey("f1", "k")), e.Post(withKey("f2", "k"))
	for _, unrendered := range []edgetest.Answer{first, second} {
		e.WaitState(unrendered.Entry(), outbox.Unrendered)
	}
	e.Write("t.jsonnet", keyed)
	e.WaitForLog("template changed")
	repeats := func(body, path, entry string) {
		t.Helper()
		if got := e.Post(body, withPath(path)); got.Entry() != entry || got.Header.Get("Outbox-Duplicate") != "true" {
			t.Errorf("got %+v, want a repeat of %s", got, entry)
		}
	}
	repeats(withKey("f1", "k"), "/hooks/welcome", first.Entry())
	repeats(withKey("f2", "k"), "/hooks/welcome", second.Entry())
	if err := edgetest.Outbox().Retry(t.Context(), first.Entry()); err != nil {
		t.Fatal(err)
	}
	e.WaitState(first.Entry(), outbox.Sent)
	repeats(withKey("f1", "k"), "/hooks/welcome", first.Entry())
	repeats(withKey("f3", "k"), "/hooks/other", first.Entry())
	if err := edgetest.Outbox().Retry(t.Context(), second.Entry()); err != nil {
		t.Fatal(err)
	}
	if entry := e.WaitState(second.Entry(), outbox.Discarded); !strings.Contains(entry.Reason, first.Entry()) ||
		entry.Content != nil {
		t.Errorf("%+v", entry)
	}
	if mails := e.Sandbox.Mails(); len(mails) != 1 {
		t.Errorf("%d mails", len(mails))
	}
}

// TestKeysOfAudiences has one template keep two lists, whose changes have the same key.
func TestKeysOfAudiences(t *testing.T) {
	const template = `function(ctx) (` + consent + `)(ctx) + { delivery: { idempotency_key: 'k' } }`
	e := newAudienceEdge(t, template, "")
	second := strings.Replace(e.withAudience(""), "mailchimp_audience /audience {",
		"mailchimp_audience /second {\n\t\ttemplate "+e.Path("audience.jsonnet")+"\n\t\tapi_key {env.MAILCHIMP_API_KEY}\n"+
			"\t\tlist L2\n\t\tapi_base "+e.base+"\n\t\tauth header X-Hook-Key {env.HOOK_KEY}\n\t}\n"+
			"\tmailchimp_audience /audience {", 1)
	if err := e.Load(second); err != nil {
		t.Fatal(err)
	}
	const yes = `{"identity":{"traits":{"email":"ada@example.net","newsletter":true}}}`
	for _, path := range []string{"/audience", "/second"} {
		if got := e.Post(yes, withPath(path)); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "" {
			t.Errorf("%s: %+v", path, got)
		}
		if got := e.Post(yes, withPath(path)); got.Header.Get("Outbox-Duplicate") != "true" {
			t.Errorf("%s again: %+v", path, got)
		}
	}
}
