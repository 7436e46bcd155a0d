package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// newEdgeWithAdmin runs a Caddy with an admin endpoint, and returns its address.
func newEdgeWithAdmin(t *testing.T, template string) (*edge, string) {
	t.Helper()
	e := newEdgeWith(t, template, "", "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	if err := e.load(strings.Replace(e.caddyfile(""), "admin off", "admin "+address, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Stopping Caddy leaves the admin endpoint open.
		if err := e.load(e.caddyfile("")); err != nil && !strings.Contains(err.Error(), "undelivered") {
			t.Error(err)
		}
	})
	return e, address
}

func (e *edge) admin(address, method, path, body string) answered {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	got, err := e.do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	return got
}

func TestAdminAPI(t *testing.T) {
	e, address := newEdgeWithAdmin(t, minimal)
	if err := e.sandbox.Fail(sandbox.Failure{Status: 422, Name: "ValidationError"}); err != nil {
		t.Fatal(err)
	}
	dead := e.post(ada).header.Get("Outbox-Entry")
	e.waitState(dead, outbox.Dead)
	sent := e.post(strings.Replace(ada, "f1", "f2", 1)).header.Get("Outbox-Entry")
	e.waitState(sent, outbox.Sent)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/mailchimp/status", "", 200, `"dead":1`},
		{"GET", "/mailchimp/outbox", "", 200, `"id":"` + dead + `"`},
		{"GET", "/mailchimp/outbox?state=dead", "", 200, `[{"id":"` + dead + `","state":"dead"`},
		{"GET", "/mailchimp/outbox?state=expired", "", 200, "[]"},
		{"GET", "/mailchimp/outbox?state=lost", "", 400, "state must be one of"},
		{"GET", "/mailchimp/outbox?limit=0", "", 400, "limit must be"},
		{"GET", "/mailchimp/outbox?since=yesterday", "", 400, "since must be"},
		{"GET", "/mailchimp/outbox/" + sent, "", 200, `"outcome":[{`},
		{"GET", "/mailchimp/outbox/none", "", 404, "no such entry"},
		{"POST", "/mailchimp/outbox/search", `{"recipient":"ADA@example.net"}`, 200, `"id":"` + sent + `"`},
		{"POST", "/mailchimp/outbox/search", `{}`, 400, "the body must be"},
		{"POST", "/mailchimp/outbox/" + sent + "/retry", "", 404, "no such entry"},
		{"POST", "/mailchimp/outbox/" + sent + "/discard", "", 404, "no such entry"},
		{"POST", "/mailchimp/outbox/" + dead + "/burn", "", 404, "there is no POST"},
		{"DELETE", "/mailchimp/outbox", "", 404, "there is no DELETE"},
		{"GET", "/mailchimp/", "", 404, "there is no GET"},
		{"POST", "/mailchimp/outbox/" + dead + "/retry", "", 204, ""},
	} {
		got := e.admin(address, test.method, test.path, test.body)
		if got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s %s: %+v", test.method, test.path, got)
		}
		for _, secret := range []string{apiKey, hookKey, "ada@example.net"} {
			if strings.Contains(got.body, secret) {
				t.Errorf("%s %s shows %s", test.method, test.path, secret)
			}
		}
	}
	e.waitState(dead, outbox.Sent)
	if got := e.admin(address, "POST", "/mailchimp/outbox/forget", `{"recipient":"ada@example.net"}`); got.body != "{\"forgotten\":2}\n" {
		t.Errorf("forgot %+v", got)
	}
}

func TestOutboxCommand(t *testing.T) {
	e, address := newEdgeWithAdmin(t, `function(ctx) error 'broken'`)
	id := e.post(`{"identity":{"traits":{"email":"ada@example.net"}}}`).header.Get("Outbox-Entry")
	run := func(args ...string) (string, error) {
		cmd := caddymodule.OutboxCommand()
		var output bytes.Buffer
		cmd.SetOut(&output)
		cmd.SetErr(&output)
		cmd.SetArgs(append(args, "--address", address))
		err := cmd.ExecuteContext(t.Context())
		return output.String(), err
	}
	for _, test := range []struct {
		args  []string
		want  string
		fails bool
	}{
		{[]string{"list"}, "unrendered", false},
		{[]string{"list", "--state", "unrendered"}, "broken", false},
		{[]string{"list", "--state", "sent"}, "REASON\n", false},
		{[]string{"list", "--state", "lost"}, "state must be one of", true},
		{[]string{"list", "--recipient", "ada@example.net", "--json"}, `"id": "` + id + `"`, false},
		{[]string{"show", id}, `"state": "unrendered"`, false},
		{[]string{"show", "0"}, "no such entry", true},
		{[]string{"retry", id}, "", false},
		{[]string{"discard", "0"}, "failed for 0", true},
		{[]string{"forget", "nobody@example.net"}, "0 entries forgotten\n", false},
		{[]string{"forget"}, "accepts 1 arg", true},
	} {
		output, err := run(test.args...)
		if (err != nil) != test.fails || !strings.Contains(output, test.want) {
			t.Errorf("%v: %q, %v", test.args, output, err)
		}
	}
	e.waitForLog("entry can't be rendered")
	e.waitState(id, outbox.Unrendered)
	if output, err := run("discard", id); err != nil {
		t.Errorf("%q, %v", output, err)
	}
	var entries []outbox.Entry
	output, err := run("list", "--json")
	if err != nil || json.Unmarshal([]byte(output), &entries) != nil || len(entries) != 1 || entries[0].State != outbox.Discarded {
		t.Errorf("%q, %v", output, err)
	}
}

func TestAdminAPIWithoutAnOutbox(t *testing.T) {
	e, address := newEdgeWithAdmin(t, minimal)
	caddyfile := strings.Replace(e.caddyfile("delivery sync"), "admin off", "admin "+address, 1)
	if err := e.load(strings.Replace(caddyfile, "outbox sqlite "+e.path("outbox.db"), "outbox off", 1)); err != nil {
		t.Fatal(err)
	}
	if got := e.admin(address, "GET", "/mailchimp/status", ""); got.status != 404 || !strings.Contains(got.body, "no outbox is running") {
		t.Errorf("got %+v", got)
	}
}
