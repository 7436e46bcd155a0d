package caddymodule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestSandboxHandler sends to a sandbox that Caddy runs, whose mails outlive a reload.
func TestSandboxHandler(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	sandboxSite := func(lines string) string {
		return strings.Replace(e.Caddyfile("delivery sync"), "\tmetrics /metrics\n",
			"\thandle_path /sandboxed/* {\n\t\tmandrill_sandbox {\n"+lines+"\n}\n\t}\n", 1)
	}
	e.Base = "http://" + e.Address + "/sandboxed/api/1.0"
	if err := e.Load(sandboxSite("")); err != nil {
		t.Fatal(err)
	}
	e.Post(edgetest.Ada)
	if err := e.Load(sandboxSite("allow_remote")); err != nil {
		t.Fatal(err)
	}
	get := func(host string) edgetest.Answer {
		r := httptest.NewRequestWithContext(context.Background(), "GET", "http://"+e.Address+"/sandboxed/sandbox/messages",
			nil)
		r.RequestURI = ""
		r.Host = host
		got, err := e.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	var mails []sandbox.Mail
	if err := json.Unmarshal([]byte(get(e.Address).Body), &mails); err != nil || len(mails) != 1 {
		t.Errorf("%d mails, %v", len(mails), err)
	}
	const trusting = "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}\n"
	if err := e.Load(strings.Replace(sandboxSite(""), "{\n", trusting, 1)); err != nil {
		t.Fatal(err)
	}
	for _, forwarded := range []string{"", "127.0.0.1", "192.0.2.1"} {
		for _, path := range []string{"/sandboxed/", "/sandboxed/3.0/", "/sandboxed/sandbox/messages"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.Address+path, nil)
			r.RequestURI = ""
			edgetest.Header("X-Forwarded-For", forwarded)(r)
			got, err := e.Do(r)
			if want := map[bool]int{true: 200, false: 403}[forwarded == ""]; err != nil || got.Status != want {
				t.Errorf("%s, forwarded for %q: %d, %v", path, forwarded, got.Status, err)
			}
		}
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+e.Address+"/sandboxed/3.0/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := e.Do(r); err != nil || !strings.Contains(page.Body, "Nobody is in an audience yet") {
		t.Errorf("the page of members: %+v, %v", page, err)
	}
}

// TestSandboxPostsEvents closes the loop: the entry of a mail that the sandbox takes gets the sandbox's events.
func TestSandboxPostsEvents(t *testing.T) {
	e := edgetest.Prepare(t, edgetest.Minimal)
	t.Setenv("WEBHOOK_KEY", "s3cret-webhook")
	e.Base = "http://" + e.Address + "/sandboxed/api/1.0"
	site := func(key string) string {
		return strings.Replace(e.Caddyfile(""), "\tmetrics /metrics\n", `	metrics /metrics
	handle_path /sandboxed/* {
		mandrill_sandbox {
			webhook http://`+e.Address+`/mandrill {env.WEBHOOK_KEY}
		}
	}
	mailchimp_events /mandrill {
		url http://`+e.Address+`/mandrill
		key `+key+`
	}
`, 1)
	}
	e.Run(site("another-key"))
	events := func(id string) (kinds []string) {
		for _, event := range e.WaitState(id, outbox.Sent).Events {
			kinds = append(kinds, event.Event)
		}
		return kinds
	}
	first := e.Post(edgetest.Ada).Entry()
	e.WaitForLog("X-Mandrill-Signature doesn't match")
	if got := events(first); len(got) != 0 {
		t.Errorf("events with a wrong key: %v", got)
	}
	// The reload keeps what was not taken.
	if err := e.Load(site("{env.WEBHOOK_KEY}")); err != nil {
		t.Fatal(err)
	}
	second := e.Post(strings.Replace(strings.Replace(edgetest.Ada, "ada@example.net",
		"hard_bounce@test.mandrillapp.com", 1), "f1", "f2", 1)).Entry()
	for id, want := range map[string]string{first: "[send delivered]", second: "[send hard_bounce]"} {
		edgetest.WaitUntil(t, "the entry has no "+want, func() bool { return fmt.Sprint(events(id)) == want })
	}
}

func TestSandboxWebhookIsMisconfigured(t *testing.T) {
	for line, want := range map[string]string{
		"webhook hooks.example.com k":               "is not a URL such as",
		"webhook {env.NOT_SET} k":                   "webhook: evaluated placeholder {env.NOT_SET} is empty",
		"webhook https://a.example {env.NOT_SET}":   "webhook: evaluated placeholder {env.NOT_SET} is empty",
		"webhook https://a.example {file./nowhere}": "webhook: evaluated placeholder {file./nowhere} is empty",
	} {
		err := validate(t, "{\nadmin off\nauto_https off\n}\nhttp://127.0.0.1:1 {\nmandrill_sandbox {\n"+line+"\n}\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}
