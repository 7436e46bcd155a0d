package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestHookWarns has each warning come once, however many hooks come, and only for its cause.
func TestHookWarns(t *testing.T) {
	const (
		cookies = "forwards the cookies"
		parse   = "calls this hook with response.parse"
		method  = "by another method than POST"
	)
	for _, test := range []struct {
		name, lines, body string
		change            func(*http.Request)
		want              string
	}{
		{"all is well", "", `{"n":%d,"identity":{"id":"37420027-2d65-4112-ab01-d185fded0c63"},"request_cookies":{}}`, nil, ""},
		{"no ctx of Ory's", "", `{"n":%d,"identity":1,"request_cookies":"x"}`, nil, ""},
		{"cookies", "", `{"n":%d,"request_cookies":{"session":"s3cret"}}`, nil, cookies},
		{"parse", "", `{"n":%d,"identity":{"id":"00000000-0000-0000-0000-000000000000"}}`, nil, parse},
		{"parse as is meant", "store_result", `{"n":%d,"identity":{"id":"00000000-0000-0000-0000-000000000000"}}`, nil, ""},
		{"GET", "", `{"n":%d}`, func(r *http.Request) { r.Method = http.MethodGet }, method},
		{"PUT", "", `{"n":%d}`, func(r *http.Request) { r.Method = http.MethodPut }, method},
		{"somebody else's GET", "", `{"n":%d}`, func(r *http.Request) { r.Method = http.MethodGet; r.Header.Del("X-Hook-Key") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEdge(t, `function(ctx) null`, test.lines)
			for n := range 3 {
				e.post(fmt.Sprintf(test.body, n), func(r *http.Request) {
					if test.change != nil {
						test.change(r)
					}
				})
			}
			for _, warning := range []string{cookies, parse, method} {
				want := 0
				if warning == test.want {
					want = 1
				}
				if got := strings.Count(e.logs(), warning); got != want {
					t.Errorf("%q came %d times", warning, got)
				}
			}
		})
	}
}

// TestHookStoresResult answers what Ory takes over into the identity.
func TestHookStoresResult(t *testing.T) {
	e := newEdge(t, minimal, "store_result")
	for _, step := range []struct{ name, body, duplicate string }{{"first", ada, ""}, {"repeated", ada, "true"}} {
		got := e.post(step.body)
		if got.status != http.StatusOK || got.header.Get("Outbox-Duplicate") != step.duplicate || got.header.Get("Content-Type") != jsonType ||
			!strings.HasPrefix(got.body, `{"identity":{"metadata_admin":{"mailchimp":{"status":"sent","recipients":[{"email":"ada@example.net","status":"sent","_id":"`) {
			t.Errorf("%s: got %+v", step.name, got)
		}
	}
	if got := e.post(strings.Replace(ada, "ada@example.net", "reject@test.mandrillapp.com", 1)); got.status != http.StatusUnprocessableEntity || got.id() == 0 {
		t.Errorf("rejected: %+v", got)
	}
}
