package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
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
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.Status != http.StatusOK ||
		body.Status != "sent" ||
		len(body.Recipients) != 1 || body.Recipients[0]["email"] != "ada@example.net" ||
		body.Recipients[0]["status"] != "sent" || body.Recipients[0]["_id"] == "" {
		t.Errorf("a person is edgetest.Answer %+v, %v", got, err)
	}
	mails := e.Sandbox.Mails()
	if len(mails) != 2 || mails[0].Message.FromEmail != "hello@example.com" ||
		mails[0].Message.To[0].Email != "ada@example.net" {
		t.Errorf("sent %+v", mails)
	}
}

// TestHookAnswers is a table of the answers to sync hooks, from the request to the recipient.
func TestHookAnswers(t *testing.T) {
	const template = `function(ctx)
		if std.objectHas(ctx, 'cancel') then error 'cancel'
		else if std.objectHas(ctx, 'nothing') then null
		else ctx.message`
	message := func(fields string) string { return `{"message":{"message":{` + fields + `}}}` }
	const to = `"to":[{"email":"ada@example.net"}]`
	e := edgetest.New(t, template, "max_body 1100kB")
	for _, test := range []struct {
		name   string
		body   string
		change func(*http.Request)
		status int
		want   *ory.Error
	}{
		{"cancelled", `{"cancel":1}`, nil, 204, nil},
		{"null", `{"nothing":1}`, nil, 204, nil},
		{"GET", edgetest.Ada, func(r *http.Request) { r.Method = http.MethodGet }, 405, ory.ErrMethod},
		{"PUT", edgetest.Ada, func(r *http.Request) { r.Method = http.MethodPut }, 405, ory.ErrMethod},
		{"no credentials", edgetest.Ada, edgetest.Header("X-Hook-Key", ""), 401, ory.ErrCredentials},
		{"wrong credentials", edgetest.Ada, edgetest.Header("X-Hook-Key", "wrong"), 401, ory.ErrCredentials},
		{"no content type", edgetest.Ada, edgetest.Header("Content-Type", ""), 415, ory.ErrContentType},
		{"form", "a=b", edgetest.Header("Content-Type", "application/x-www-form-urlencoded"), 415, ory.ErrContentType},
		{"too large", `{"a":"` + strings.Repeat("x", 1_100_000) + `"}`, nil, 413, ory.ErrTooLarge},
		{"no body", "", nil, 503, ory.ErrEmpty},
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
		{
			"rejected recipient", message(`"from_email":"a@example.com","to":[{"email":"reject@test.mandrillapp.com"}]`), nil,
			422, ory.ErrRecipient,
		},
		{
			"one of two rejected",
			message(`"from_email":"a@example.com",` +
				`"to":[{"email":"reject@test.mandrillapp.com"},{"email":"ada@example.net"}]`),
			nil, 422, ory.ErrRecipient,
		},
		{"invalid UTF-8", message(`"from_email":"a@example.com","subject":"` + "\xff" + `\ud800",` + to), nil, 204, nil},
		{"hostile subject", message(`"from_email":"a@example.com","subject":"<b>\r\nBcc: x@y",` + to), nil, 204, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e.T = t
			got := e.Post(test.body, test.change)
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

// TestRejectedFields has the answer point at the traits whose addresses Mandrill rejects.
func TestRejectedFields(t *testing.T) {
	const template = `function(ctx) { message: { from_email: 'hello@example.com', text: 'Hi', to: [
		{ email: ctx.identity.traits.mail }, { email: 'copy@example.net', type: 'cc' },
	] } }`
	const traits = `{"identity":{"traits":{"mail":"%s","username":"Ada"}}}`
	for _, test := range []struct{ name, mail, want string }{
		{"trait", "reject@test.mandrillapp.com", "#/traits/mail #/"},
		{"as it was typed", "Reject@Test.Mandrillapp.com", "#/traits/mail #/"},
		{"blanks around it", " reject@test.mandrillapp.com ", "#/traits/mail #/"},
		{"nothing is wrong", "ada@example.net", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := edgetest.New(t, template, "")
			got := e.Post(fmt.Sprintf(traits, test.mail))
			if pointers := strings.Join(got.Pointers(), " "); pointers != test.want {
				t.Errorf("points at %q: %s", pointers, got.Body)
			}
		})
	}
	t.Run("somebody else's", func(t *testing.T) {
		e := edgetest.New(t, strings.Replace(template, "copy@example.net", "reject@test.mandrillapp.com", 1), "")
		got := e.Post(fmt.Sprintf(traits, "ada@example.net"))
		if pointers := strings.Join(got.Pointers(), " "); pointers != "#/" {
			t.Errorf("points at %q: %s", pointers, got.Body)
		}
	})
}

func TestHookWhenMandrillFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		failure sandbox.Failure
		status  int
		want    *ory.Error
	}{
		{"all rejected", sandbox.Failure{RejectReason: "spam"}, 422, ory.ErrRecipient},
		{"unsigned", sandbox.Failure{RejectReason: "unsigned"}, 503, ory.ErrUnavailable},
		{"test key", sandbox.Failure{RejectReason: "test-mode-limit"}, 503, ory.ErrUnavailable},
		{"backlogged", sandbox.Failure{QueuedReason: "sending-paused"}, 204, nil},
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
			if got.Status != test.status || test.want != nil && got.ID() != test.want.ID || got.Header.Get("Retry-After") != "" {
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
	for _, text := range []string{`"reason":"unsigned"`, "caddy mailchimp check-domain", `"outcome":"unavailable"`} {
		if !strings.Contains(e.Logs(), text) {
			t.Errorf("the log has no %s", text)
		}
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

// TestHookStoresResult answers what Ory takes over into the identity.
func TestHookStoresResult(t *testing.T) {
	const begin = `{"identity":{"metadata_admin":{"mailchimp":{"status":"sent","recipients":` +
		`[{"email":"ada@example.net","status":"sent","_id":"`
	e := edgetest.New(t, edgetest.Minimal, "store_result")
	for _, step := range []struct{ name, body, duplicate string }{
		{"first", edgetest.Ada, ""},
		{"repeated", edgetest.Ada, "true"},
	} {
		got := e.Post(step.body)
		if got.Status != http.StatusOK || got.Header.Get("Outbox-Duplicate") != step.duplicate ||
			got.Header.Get("Content-Type") != "application/json" ||
			!strings.HasPrefix(got.Body, begin) {
			t.Errorf("%s: got %+v", step.name, got)
		}
	}
	rejected := strings.Replace(edgetest.Ada, "ada@example.net", "reject@test.mandrillapp.com", 1)
	if got := e.Post(rejected); got.Status != http.StatusUnprocessableEntity || got.ID() == 0 {
		t.Errorf("rejected: %+v", got)
	}
}
