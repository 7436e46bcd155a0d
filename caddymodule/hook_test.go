package caddymodule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func TestHookSends(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	got := e.Post(edgetest.Ada)
	if got.Status != http.StatusNoContent || got.Body != "" {
		t.Errorf("Ory is edgetest.Answer %+v", got)
	}
	got = e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"), edgetest.Header("Idempotency-Key", "two"))
	var body struct {
		Status     string
		Recipients []map[string]string
	}
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.Status != http.StatusOK || body.Status != "sent" ||
		len(body.Recipients) != 1 || body.Recipients[0]["email"] != "ada@example.net" || body.Recipients[0]["status"] != "sent" || body.Recipients[0]["_id"] == "" {
		t.Errorf("a person is edgetest.Answer %+v, %v", got, err)
	}
	mails := e.Sandbox.Mails()
	if len(mails) != 2 || mails[0].Message.FromEmail != "hello@example.com" || mails[0].Message.To[0].Email != "ada@example.net" {
		t.Errorf("sent %+v", mails)
	}
}

func TestHookAnswers(t *testing.T) {
	const broken = `function(ctx) if std.objectHas(ctx, 'cancel') then error 'cancel' else if std.objectHas(ctx, 'nothing') then null else ctx.message`
	message := func(fields string) string { return `{"message":{"message":{` + fields + `}}}` }
	const to = `"to":[{"email":"ada@example.net"}]`
	e := edgetest.New(t, broken, "max_body 1100kB")
	for _, test := range []struct {
		name   string
		body   string
		change []func(*http.Request)
		status int
		want   *ory.Error
	}{
		{"cancelled", `{"cancel":1}`, nil, 204, nil},
		{"null", `{"nothing":1}`, nil, 204, nil},
		{"GET", edgetest.Ada, []func(*http.Request){func(r *http.Request) { r.Method = http.MethodGet }}, 405, ory.ErrMethod},
		{"PUT", edgetest.Ada, []func(*http.Request){func(r *http.Request) { r.Method = http.MethodPut }}, 405, ory.ErrMethod},
		{"no credentials", edgetest.Ada, []func(*http.Request){edgetest.Header("X-Hook-Key", "")}, 401, ory.ErrCredentials},
		{"wrong credentials", edgetest.Ada, []func(*http.Request){edgetest.Header("X-Hook-Key", "wrong")}, 401, ory.ErrCredentials},
		{"no content type", edgetest.Ada, []func(*http.Request){edgetest.Header("Content-Type", "")}, 415, ory.ErrContentType},
		{"form", "a=b", []func(*http.Request){edgetest.Header("Content-Type", "application/x-www-form-urlencoded")}, 415, ory.ErrContentType},
		{"too large", `{"a":"` + strings.Repeat("x", 1_100_000) + `"}`, nil, 413, ory.ErrTooLarge},
		{"no body", "", nil, 400, ory.ErrNotJSON},
		{"array", "[]", nil, 400, ory.ErrNotObject},
		{"null body", "null", nil, 400, ory.ErrNotObject},
		{"deep", strings.Repeat("[", 20_000), nil, 400, ory.ErrTooDeep},
		{"template fails", `{}`, nil, 422, ory.ErrTemplate},
		{"template returns a string", `{"message":"s3cret"}`, nil, 422, ory.ErrTemplate},
		{"no message", `{"message":{}}`, nil, 422, ory.ErrMessage},
		{"other domain", message(`"from_email":"a@example.net",` + to), nil, 422, ory.ErrMessage},
		{"misspelt field", message(`"from_email":"a@example.com","sujbect":"s3cret",` + to), nil, 422, ory.ErrMessage},
		{"no recipient", message(`"from_email":"a@example.com"`), nil, 422, ory.ErrMessage},
		{"address without @", message(`"from_email":"a@example.com","to":[{"email":"s3cret"}]`), nil, 422, ory.ErrMessage},
		{"rejected recipient", message(`"from_email":"a@example.com","to":[{"email":"reject@test.mandrillapp.com"}]`), nil, 422, ory.ErrRecipient},
		{"one of two rejected", message(`"from_email":"a@example.com","to":[{"email":"reject@test.mandrillapp.com"},{"email":"ada@example.net"}]`), nil, 422, ory.ErrRecipient},
		{"invalid UTF-8", "{\"message\":{\"message\":{\"from_email\":\"a@example.com\",\"subject\":\"\xff\\ud800\"," + to + "}}}", nil, 204, nil},
		{"hostile subject", message(`"from_email":"a@example.com","subject":"<b>\r\nBcc: x@y",` + to), nil, 204, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e.T = t
			got := e.Post(test.body, test.change...)
			if got.Status != test.status {
				t.Fatalf("got %+v", got)
			}
			switch {
			case test.want == nil && got.Body != "":
				t.Errorf("body %q", got.Body)
			case test.want != nil && got.ID() != test.want.ID:
				t.Errorf("error form %s", got.Body)
			case test.status == 405 && got.Header.Get("Allow") != "POST":
				t.Errorf("Allow: %q", got.Header.Get("Allow"))
			}
			if got.Header.Get("Retry-After") != "" {
				t.Error("Ory would make its user wait")
			}
			if test.want != nil && !strings.Contains(e.Logs(), got.Reference()) {
				t.Error("the reference is not in the log")
			}
		})
	}
	e.T = t
	for _, mail := range e.Sandbox.Mails() {
		if strings.ContainsAny(mail.Message.Subject, "\r\n") {
			t.Errorf("subject %q", mail.Message.Subject)
		}
	}
}

func TestHookWhenMandrillFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		failure sandbox.Failure
		status  int
		want    *ory.Error
	}{
		{"all rejected", sandbox.Failure{RejectReason: "unsigned"}, 422, ory.ErrRecipient},
		{"invalid key", sandbox.Failure{Status: 401, Name: "Invalid_Key"}, 503, ory.ErrUnavailable},
		{"payment", sandbox.Failure{Status: 402, Name: "PaymentRequired"}, 503, ory.ErrUnavailable},
		{"rate limit", sandbox.Failure{Status: 429, Name: "RequestLimitExceeded", RetryAfter: 60}, 503, ory.ErrUnavailable},
		{"validation", sandbox.Failure{Status: 422, Name: "ValidationError"}, 422, ory.ErrRefused},
		{"validation as 500", sandbox.Failure{Status: 500, Name: "ValidationError"}, 422, ory.ErrRefused},
		{"HTML", sandbox.Failure{Status: 500, Body: "<html>"}, 503, ory.ErrUnavailable},
		{"garbage", sandbox.Failure{Body: "<html>"}, 503, ory.ErrUnavailable},
		{"closed connection", sandbox.Failure{Reset: "before"}, 503, ory.ErrUnavailable},
		{"too slow", sandbox.Failure{Delay: "1m"}, 503, ory.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := edgetest.New(t, edgetest.Minimal, "timeout 200ms")
			if err := e.Sandbox.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			got := e.Post(edgetest.Ada)
			if got.Status != test.status || got.ID() != test.want.ID || got.Header.Get("Retry-After") != "" {
				t.Errorf("got %+v", got)
			}
			if waited := time.Since(started); waited > 30*time.Second {
				t.Errorf("waited %v", waited)
			}
		})
	}
}

func TestHookExplainsUnsigned(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	if err := e.Sandbox.Fail(sandbox.Failure{RejectReason: "unsigned"}); err != nil {
		t.Fatal(err)
	}
	e.Post(edgetest.Ada)
	for _, text := range []string{`"reason":"unsigned"`, "caddy mailchimp check-domain", `"outcome":"rejected"`} {
		if !strings.Contains(e.Logs(), text) {
			t.Errorf("the log has no %s", text)
		}
	}
}

// TestHookRepeats calls again as Ory does where it heard nothing, or something that it didn't like.
func TestHookRepeats(t *testing.T) {
	const keyed = `function(ctx) { message: { from_email: 'hello@example.com', to: [{ email: 'ada@example.net' }] }, delivery: { idempotency_key: std.get(ctx, 'key', '') } }`
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
		{"same body at another host", `{"a":1}`, func(r *http.Request) { r.Host = strings.Replace(r.Host, "127.0.0.1", "localhost", 1) }, nil, 404, "", 3},
		{"trigger", `{"a":3}`, edgetest.Header("Ory-Webhook-Trigger-ID", "t1"), nil, 204, "", 4},
		{"same trigger", `{"a":4}`, edgetest.Header("Ory-Webhook-Trigger-ID", "t1"), nil, 204, "true", 4},
		{"header", `{"a":5}`, edgetest.Header("Idempotency-Key", "t1"), nil, 204, "", 5},
		{"same header", `{"a":6}`, edgetest.Header("Idempotency-Key", "t1"), nil, 204, "true", 5},
		{"template", `{"a":7,"key":"t1"}`, edgetest.Header("X", "1"), nil, 204, "", 6},
		{"same by the template", `{"a":8,"key":"t1"}`, edgetest.Header("Idempotency-Key", "new"), nil, 204, "true", 6},
		{"rejected", `{"a":9}`, edgetest.Header("X", "1"), &sandbox.Failure{RejectReason: "spam"}, 422, "", 7},
		{"rejected, then taken", `{"a":9}`, edgetest.Header("X", "1"), nil, 204, "", 8},
		{"refused", `{"a":10}`, edgetest.Header("X", "1"), &sandbox.Failure{Status: 500}, 503, "", 8},
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
		if got.Status != step.status || got.Header.Get("Outbox-Duplicate") != step.duplicate || len(e.Sandbox.Mails()) != step.mails {
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

func TestHookAuthentication(t *testing.T) {
	t.Setenv("COOKIE", "s3cret-cookie")
	t.Setenv("PASSWORD", "s3cret:password")
	e := edgetest.New(t, `function(ctx) null`, "auth cookie hook {env.COOKIE}\nauth basic ory {env.PASSWORD}")
	without := edgetest.Header("X-Hook-Key", "")
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "hook", Value: "s3cret-cookie"}) }, 204},
		{"wrong cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "hook", Value: "s3cret-cooki"}) }, 401},
		{"basic", func(r *http.Request) { r.SetBasicAuth("ory", "s3cret:password") }, 204},
		{"wrong basic", func(r *http.Request) { r.SetBasicAuth("ory", "s3cret") }, 401},
	} {
		got := e.Post("{}", without, test.change)
		if got.Status != test.status {
			t.Errorf("%s: got %+v", test.name, got)
		}
		if got.Status == 401 && !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: WWW-Authenticate: %q", test.name, got.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestHookWarnsOfAKeyOnce(t *testing.T) {
	e := edgetest.New(t, `function(ctx) { key: 'template-key', message: { from_email: 'hello@example.com', to: [{ email: 'ada@example.net' }] } }`, "")
	for i := range 3 {
		e.Post(fmt.Sprintf(`{"a":%d}`, i))
	}
	if n := strings.Count(e.Logs(), "the template names a key"); n != 1 {
		t.Errorf("warned %d times", n)
	}
	if mails := e.Sandbox.Mails(); len(mails) != 3 {
		t.Errorf("%d mails", len(mails))
	}
	if strings.Contains(e.Logs(), "template-key") {
		t.Error("the key is in the log")
	}
}

func TestHookRecursionAndLoops(t *testing.T) {
	for name, template := range map[string]string{
		"recursion": `local f(x) = f(x) + 1; function(ctx) { a: f(1) }`,
		"loop":      `function(ctx) { a: std.foldl(function(a, b) a + b, std.range(1, 300000), 0) }`,
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.New(t, template, "render_timeout 20ms")
			if got := e.Post("{}"); got.Status != 422 || got.ID() != ory.ErrTemplate.ID {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHookTakesUpAChangedTemplate(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	e.Write("t.jsonnet", strings.Replace(edgetest.Minimal, "'Hi'", "'Changed'", 1))
	e.WaitForLog(`"msg":"template changed"`)
	e.Post(edgetest.Ada)
	e.Write("t.jsonnet", `function(ctx) {`)
	e.WaitForLog("template is broken")
	e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1))
	mails := e.Sandbox.Mails()
	if len(mails) != 2 || mails[0].Message.Subject != "Changed" || mails[1].Message.Subject != "Changed" {
		t.Errorf("sent %+v", mails)
	}
	if got := e.Metric("caddy_mailchimp_template_reload_failures_total"); got == "" || got == "0" {
		t.Errorf("reload failures: %q", got)
	}
	// A reload with the broken template keeps the last good one in force.
	if err := e.Load(e.Caddyfile("delivery sync\ntimeout 9s")); err != nil {
		t.Fatal(err)
	}
	if got := e.Post(strings.Replace(edgetest.Ada, "f1", "f3", 1)); got.Status != 204 {
		t.Errorf("after a reload: %+v", got)
	}
}

// postUnderReloads posts hooks while the configuration is replaced again and again, and returns how many.
func postUnderReloads(e *edgetest.Edge, lines string) int {
	e.T.Helper()
	const callers, hooks, hooksPerReload = 4, 50, 10
	var posting sync.WaitGroup
	answered := make(chan struct{})
	for caller := range callers {
		posting.Go(func() {
			for n := range hooks {
				body := strings.Replace(edgetest.Ada, "f1", fmt.Sprintf("f%d-%d", caller, n), 1)
				if got := e.Post(body); got.Status != 204 {
					e.T.Errorf("got %+v", got)
				}
				answered <- struct{}{}
			}
		})
	}
	go func() { posting.Wait(); close(answered) }()
	n := 0
	for range answered {
		if n++; n%hooksPerReload == 0 {
			if err := e.Load(e.Caddyfile(fmt.Sprintf("%s\ntimeout %ds", lines, n))); err != nil {
				e.T.Error(err)
			}
		}
	}
	return callers * hooks
}

func TestHookUnderReloads(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	hooks := postUnderReloads(e, "delivery sync")
	if got := len(e.Sandbox.Mails()); got != hooks {
		t.Errorf("%d mails for %d hooks", got, hooks)
	}
}

// TestCaptures posts what a real Kratos sent.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../../shared/ory/captures/*.json")
	if err != nil || len(files) == 0 {
		t.Skip("the captured requests are not here")
	}
	// Who gets the mail: the courier's recipient, the identity's address, or nobody.
	const template = `
		function(ctx)
			local addresses(identity) = [a.value for a in std.get(identity, 'verifiable_addresses', []) if a.via == 'email'];
			local identity = if 'identity' in ctx then ctx.identity else {};
			local to =
				if 'recipient' in ctx then (if std.get(ctx, 'message_type', 'email') == 'email' then [ctx.recipient] else [])
				else addresses(identity);
			if to == [] then error 'cancel' else {
				message: {
					from_email: 'hello@example.com', subject: std.get(ctx, 'subject', 'Hello'), text: std.get(ctx, 'body', 'Hello'),
					to: [{ email: to[0], name: std.get(std.get(std.get(identity, 'traits', {}), 'name', {}), 'last', '') }],
				},
			}`
	e := edgetest.New(t, template, "")
	posted, mails := 0, 0
	for _, file := range files {
		if filepath.Base(file) == "INDEX.json" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			e.T = t
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var capture struct {
				Request struct {
					Method, Path string
					Headers      map[string]string
				} `json:"request"`
				Body    map[string]any `json:"body"`
				RawBody string         `json:"raw_body"`
			}
			if err := json.Unmarshal(data, &capture); err != nil {
				t.Fatal(err)
			}
			want, sends := http.StatusNoContent, hasAddress(capture.Body)
			switch {
			case capture.Request.Method != http.MethodPost:
				want, sends = http.StatusMethodNotAllowed, false
			case capture.Request.Headers["Content-Type"] != "application/json":
				want, sends = http.StatusUnsupportedMediaType, false
			}
			got := e.Post(capture.RawBody, func(r *http.Request) {
				r.Method = capture.Request.Method
				r.URL.Path = "/hooks" + capture.Request.Path
				for _, name := range []string{"Content-Type", "User-Agent", "Ory-Webhook-Request-Id"} {
					if value := capture.Request.Headers[name]; value != "" {
						r.Header.Set(name, value)
					}
				}
			})
			posted++
			if sends && got.Header.Get("Outbox-Duplicate") == "" {
				mails++
			}
			if got.Status != want {
				t.Errorf("got %+v, want %d", got, want)
			}
			if len(e.Sandbox.Mails()) != mails {
				t.Errorf("%d mails, want %d", len(e.Sandbox.Mails()), mails)
			}
		})
	}
	e.T = t
	if posted == 0 || mails == 0 {
		t.Errorf("posted %d, %d mails", posted, mails)
	}
	t.Logf("posted %d, %d mails", posted, mails)
}

func hasAddress(body map[string]any) bool {
	if _, courier := body["recipient"]; courier {
		return body["message_type"] != "sms"
	}
	identity, _ := body["identity"].(map[string]any)
	addresses, _ := identity["verifiable_addresses"].([]any)
	for _, address := range addresses {
		if address.(map[string]any)["via"] == "email" {
			return true
		}
	}
	return false
}
