package caddymodule_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestHookRepeats calls again as Ory does where it heard nothing, or something that it didn't like.
func TestHookRepeats(t *testing.T) {
	const keyed = `function(ctx) { message: { from_email: 'hello@example.com', to: [{ email: 'ada@example.net' }] }, ` +
		`delivery: { idempotency_key: std.get(ctx, 'key', '') } }`
	e := edgetest.New(t, keyed, "")
	for _, step := range []struct {
		name      string
		body      string
		change    func(*http.Request)
		fail      *sandbox.Failure
		status    int
		duplicate string
		mails     int
	}{
		{"first", `{"a":1}`, edgetest.Header("X", "1"), nil, 204, "", 1},
		{"same body", `{"a":1}`, edgetest.Header("X", "1"), nil, 204, "true", 1},
		{"other body", `{"a":2}`, edgetest.Header("X", "1"), nil, 204, "", 2},
		{"same body at another path", `{"a":1}`, func(r *http.Request) { r.URL.Path = "/hooks/other" }, nil, 204, "", 3},
		{"same body at another host", `{"a":1}`, func(r *http.Request) {
			r.Host = strings.Replace(r.Host, "127.0.0.1",
				"localhost", 1)
		}, nil, 404, "", 3},
		{"trigger", `{"a":3}`, edgetest.Header("Ory-Webhook-Trigger-ID", "t1"), nil, 204, "", 4},
		{"same trigger", `{"a":4}`, edgetest.Header("Ory-Webhook-Trigger-ID", "t1"), nil, 204, "true", 4},
		{"header", `{"a":5}`, edgetest.Header("Idempotency-Key", "t1"), nil, 204, "", 5},
		{"same header", `{"a":6}`, edgetest.Header("Idempotency-Key", "t1"), nil, 204, "true", 5},
		{"template", `{"a":7,"key":"t1"}`, edgetest.Header("X", "1"), nil, 204, "", 6},
		{"same by the template", `{"a":8,"key":"t1"}`, edgetest.Header("Idempotency-Key", "new"), nil, 204, "true", 6},
		{"rejected", `{"a":9}`, edgetest.Header("X", "1"), &sandbox.Failure{RejectReason: "spam"}, 422, "", 7},
		{"rejected, then taken", `{"a":9}`, edgetest.Header("X", "1"), nil, 204, "", 8},
		{"refused", `{"a":10}`, edgetest.Header("X", "1"), &sandbox.Failure{Status: 503}, 503, "", 8},
		{"refused, then taken", `{"a":10}`, edgetest.Header("X", "1"), nil, 204, "", 9},
		{"unknown", `{"a":11}`, edgetest.Header("X", "1"), &sandbox.Failure{Reset: "after"}, 503, "", 10},
		{"unknown, not sent again", `{"a":11}`, edgetest.Header("X", "1"), nil, 503, "true", 10},
	} {
		if step.fail != nil {
			if err := e.Sandbox.Fail(*step.fail); err != nil {
				t.Fatal(err)
			}
		}
		got := e.Post(step.body, step.change)
		if step.status == 404 {
			// The site has another name: Caddy answers with an empty 200 that is not ours.
			continue
		}
		if got.Status != step.status || got.Header.Get("Outbox-Duplicate") != step.duplicate ||
			len(e.Sandbox.Mails()) != step.mails {
			t.Fatalf("%s: got %+v, %d mails", step.name, got, len(e.Sandbox.Mails()))
		}
	}
}

// TestHookOutlivesItsCaller lets Ory go away while Mandrill is slow, and call again.
func TestHookOutlivesItsCaller(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	arrived, release := make(chan struct{}), make(chan struct{})
	e.Mandrill = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		e.Sandbox.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(edgetest.Ada))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hook-Key", edgetest.HookKey)
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
			t.Error("the first caller was edgetest.Answer")
		}
	}()
	<-arrived
	cancel()
	<-gone
	close(release)
	got := e.Post(edgetest.Ada)
	if got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "true" || len(e.Sandbox.Mails()) != 1 {
		t.Errorf("the repeat is edgetest.Answer %+v, %d mails", got, len(e.Sandbox.Mails()))
	}
}
