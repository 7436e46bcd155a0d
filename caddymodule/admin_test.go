package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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
		{"POST", "/mailchimp/outbox/search", `{}`, 200, `"id":"` + dead + `"`},
		{"POST", "/mailchimp/outbox/search", `{"stat":"dead"}`, 400, `unknown field \"stat\"`},
		{"GET", "/mailchimp/outbox?stat=dead", "", 400, "there is no condition stat"},
		{"GET", "/mailchimp/outbox?recipient=ada", "", 400, "doesn't belong into a URL"},
		{"GET", "/mailchimp/outbox?limit=1", "", 200, `"id":"` + sent + `"`},
		{"GET", "/mailchimp/outbox?limit=1&before=" + sent, "", 200, `"id":"` + dead + `"`},
		{"GET", "/mailchimp/outbox?before=x", "", 400, "before must be"},
		{"GET", "/mailchimp/outbox?reason=VALIDATION", "", 200, `[{"id":"` + dead + `"`},
		{"GET", "/mailchimp/outbox/" + dead + "?content=maybe", "", 400, "content must be"},
		{"POST", "/mailchimp/outbox/" + sent + "/retry", "", 409, "entry " + sent + " is sent"},
		{"POST", "/mailchimp/outbox/" + sent + "/discard", "", 409, "is sent"},
		{"POST", "/mailchimp/outbox/0/retry", "", 404, "no such entry"},
		{"POST", "/mailchimp/outbox/retry", `{}`, 400, "at least one condition"},
		{"POST", "/mailchimp/outbox/retry", `{"state":"sent"}`, 409, "in this state"},
		{"POST", "/mailchimp/outbox/retry", `{"state":"dead","limit":1}`, 400, "are for lists"},
		{"POST", "/mailchimp/outbox/discard", `{"sender":"other.example"}`, 200, `{"total":0,"done":0,"skipped":0,"finished":true}`},
		{"POST", "/mailchimp/outbox/forget", `{}`, 400, "the body must be"},
		{"POST", "/mailchimp/outbox/" + dead + "/burn", "", 404, "there is no /mailchimp"},
		{"DELETE", "/mailchimp/outbox", "", 405, "takes GET, not DELETE"},
		{"GET", "/mailchimp/", "", 404, "there is no /mailchimp/"},
		{"GET", "/mailchimp/ready", "", 200, `{"ready":true}`},
		{"POST", "/mailchimp/senders/other.example/pause", "", 404, "known are example.com"},
		{"POST", "/mailchimp/send-test", `{"to":"hard"}`, 400, "message.to[0].email"},
		{"POST", "/mailchimp/send-test", `{"to":"reject@test.mandrillapp.com"}`, 200, `"sent":false,"from":"test@example.com","status":"rejected"`},
		{"POST", "/mailchimp/send-test", `{"to":"x@example.org","from":"a@example.org"}`, 400, "sender_domain"},
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
	if got := e.admin(address, "GET", "/mailchimp/outbox?limit=1", ""); got.header.Get("Link") != `</mailchimp/outbox?before=`+sent+`&limit=1>; rel="next"` {
		t.Errorf("the next page is %q", got.header.Get("Link"))
	}
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
		{[]string{"show", id, "--content"}, `"email": "ada@example.net"`, false},
		{[]string{"list", "--since", "1h", "--reason", "BROKEN", "--limit", "1"}, "There may be more: --before " + id, false},
		{[]string{"list", "--until", "1h"}, "REASON\n", false},
		{[]string{"list", "--since", "yesterday"}, "--since must be", true},
		{[]string{"retry"}, "name ids, conditions or --all", true},
		{[]string{"retry", id, "--all"}, "not both", true},
		{[]string{"retry", "--state", "sent"}, "sent", true},
		{[]string{"retry", "--state", "dead"}, "retry: 0 entries of 0\n", false},
		{[]string{"discard", "--sender", "other.example", "--json"}, `"finished": true`, false},
		{[]string{"pause", "other.example"}, "known are example.com", true},
		{[]string{"pause", "example.com"}, "example.com is paused\n", false},
		{[]string{"resume", "example.com"}, "example.com sends again\n", false},
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
	if got := e.admin(address, "GET", "/mailchimp/outbox", ""); got.status != 404 || !strings.Contains(got.body, "no outbox is running") {
		t.Errorf("got %+v", got)
	}
	for path, want := range map[string]string{"status": `"flows":true,"troubles":[],"attention":[],"outbox":"off"`, "ready": `"ready":true`} {
		if got := e.admin(address, "GET", "/mailchimp/"+path, ""); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// TestAddressesOfOldOutcomes were kept while log_recipients was on.
func TestAddressesOfOldOutcomes(t *testing.T) {
	e, address := newEdgeWithAdmin(t, minimal)
	entry := outbox.New{Key: "old", Sender: "example.com", Claim: time.Hour}
	receipt, err := caddymodule.LiveOutbox().Put(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	outcome := outbox.Result{Verdict: outbox.VerdictSent, Outcome: json.RawMessage(`[{"email":"ada@example.net","status":"sent"}]`)}
	if err := caddymodule.LiveOutbox().Settle(t.Context(), receipt.ID, entry, outcome); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/mailchimp/outbox", "/mailchimp/outbox/" + receipt.ID} {
		if got := e.admin(address, "GET", path, ""); strings.Contains(got.body, "ada@") || !strings.Contains(got.body, `"status":"sent"`) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}
