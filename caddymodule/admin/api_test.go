package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestAdminAPI is a table of calls, one after the other.
func TestAdminAPI(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	if err := e.Sandbox.Fail(sandbox.Failure{Status: 422, Name: "ValidationError"}); err != nil {
		t.Fatal(err)
	}
	dead := e.Post(edgetest.Ada).Entry()
	e.WaitState(dead, outbox.Dead)
	sent := e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)).Entry()
	e.WaitState(sent, outbox.Sent)
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
		{"POST", "/mailchimp/outbox/" + sent + "/retry", "", 409, "content was wiped"},
		{"POST", "/mailchimp/outbox/" + sent + "/retry", `{"resend":true}`, 400, "unknown field"},
		{"GET", "/mailchimp/outbox?state=Dead&state=expired", "", 200, `[{"id":"` + dead + `"`},
		{"GET", "/mailchimp/outbox?event=hard_bounce", "", 200, "[]"},
		{"GET", "/mailchimp/outbox?event=bounce", "", 400, "event must be one of"},
		{"POST", "/mailchimp/outbox/search", `{"state":["DEAD","sent"],"limit":1}`, 200, `"id":"` + sent + `"`},
		{"POST", "/mailchimp/outbox/search", `{"recipient":"Ada <ada@example.net>"}`, 400, "recipient must be an address"},
		{"POST", "/mailchimp/outbox/forget", `{"recipient":"ada"}`, 400, "with an address"},
		{"POST", "/mailchimp/templates/pause", `{"template":"t.jsonnet"}`, 204, ""},
		{"GET", "/mailchimp/status", "", 200, "outbox resume --template"},
		{"POST", "/mailchimp/templates/resume", `{"template":"t.jsonnet"}`, 204, ""},
		{"POST", "/mailchimp/templates/pause", `{"template":"other.jsonnet"}`, 404, "known are"},
		{"POST", "/mailchimp/templates/pause", `{}`, 400, "the body must be"},
		{"POST", "/mailchimp/outbox/" + sent + "/discard", "", 409, "is sent"},
		{"POST", "/mailchimp/outbox/0/retry", "", 404, "no such entry"},
		{"POST", "/mailchimp/outbox/retry", `{}`, 400, "at least one condition"},
		{"POST", "/mailchimp/outbox/retry", `{"state":"sent"}`, 409, "only again retries them"},
		{"POST", "/mailchimp/outbox/retry", `{"state":"sent","again":true}`, 200, `"skipped":1,"finished":true`},
		{"POST", "/mailchimp/outbox/retry", `{"again":true}`, 400, "at least one condition"},
		{"POST", "/mailchimp/outbox/retry", `{"state":"dead","limit":1}`, 400, "are for lists"},
		{
			"POST", "/mailchimp/outbox/discard", `{"sender":"other.example"}`, 200,
			`{"total":0,"done":0,"skipped":0,"finished":true}`,
		},
		{"POST", "/mailchimp/outbox/forget", `{}`, 400, "the body must be"},
		{"POST", "/mailchimp/outbox/" + dead + "/burn", "", 404, "there is no /mailchimp"},
		{"DELETE", "/mailchimp/outbox", "", 405, "takes GET, not DELETE"},
		{"GET", "/mailchimp/", "", 404, "there is no /mailchimp/"},
		{"GET", "/mailchimp/ready", "", 200, `{"ready":true}`},
		{"POST", "/mailchimp/senders/other.example/pause", "", 404, "known are example.com"},
		{"POST", "/mailchimp/send-test", `{"to":"hard"}`, 400, "message.to[0].email"},
		{
			"POST", "/mailchimp/send-test", `{"to":"reject@test.mandrillapp.com"}`, 200,
			`"sent":false,"from":"test@example.com","status":"rejected"`,
		},
		{"POST", "/mailchimp/send-test", `{"to":"x@example.org","from":"a@example.org"}`, 400, "sender_domain"},
		{"POST", "/mailchimp/outbox/" + dead + "/retry", "", 204, ""},
	} {
		got := e.Call(address, test.method, test.path, test.body)
		if got.Status != test.status || !strings.Contains(got.Body, test.want) {
			t.Errorf("%s %s: %+v", test.method, test.path, got)
		}
		for _, secret := range []string{edgetest.APIKey, edgetest.HookKey, "ada@example.net"} {
			if strings.Contains(got.Body, secret) {
				t.Errorf("%s %s shows %s", test.method, test.path, secret)
			}
		}
	}
	e.WaitState(dead, outbox.Sent)
	page := e.Call(address, "GET", "/mailchimp/outbox?limit=1", "")
	if got := page.Header.Get("Link"); got != `</mailchimp/outbox?before=`+sent+`&limit=1>; rel="next"` {
		t.Errorf("the next page is %q", got)
	}
	got := e.Call(address, "POST", "/mailchimp/outbox/forget", `{"recipient":"ada@example.net"}`)
	if got.Body != "{\"forgotten\":2}\n" {
		t.Errorf("forgot %+v", got)
	}
}

func TestAdminAPIWithoutAnOutbox(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	caddyfile := strings.Replace(e.Caddyfile("delivery sync"), "admin off", "admin "+address, 1)
	if err := e.Load(strings.Replace(caddyfile, "outbox sqlite "+e.Path("outbox.db"), "outbox off", 1)); err != nil {
		t.Fatal(err)
	}
	if got := e.Call(address, "GET", "/mailchimp/outbox", ""); got.Status != 404 ||
		!strings.Contains(got.Body, "no outbox is running") {
		t.Errorf("got %+v", got)
	}
	for path, want := range map[string]string{
		"status": `"flows":true,"troubles":[],"attention":[],"outbox":"off"`,
		"ready":  `"ready":true`,
	} {
		if got := e.Call(address, "GET", "/mailchimp/"+path, ""); got.Status != 200 || !strings.Contains(got.Body, want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// TestAddressesOfOldOutcomes were kept while log_recipients was on.
func TestAddressesOfOldOutcomes(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	entry := outbox.New{Key: "old", Sender: "example.com", Claim: time.Hour}
	receipt, err := edgetest.Outbox().Put(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	outcome := outbox.Result{
		Verdict: outbox.VerdictSent,
		Outcome: []outbox.Recipient{{Email: "ada@example.net", Status: "sent"}},
	}
	if err := edgetest.Outbox().Settle(t.Context(), receipt.ID, entry, outcome); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/mailchimp/outbox", "/mailchimp/outbox/" + receipt.ID} {
		if got := e.Call(address, "GET", path, ""); strings.Contains(got.Body, "ada@") ||
			!strings.Contains(got.Body, `"status":"sent"`) {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
}
