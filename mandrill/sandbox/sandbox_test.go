package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a sandbox, and checks all that passes between it and its clients against Mailchimp's
// description of the API, where that is at hand.
func start(t *testing.T) (*sandbox.Sandbox, *mandrill.Client, string) {
	t.Helper()
	s := sandbox.New()
	server := httptest.NewServer(described(t, s))
	t.Cleanup(server.Close)
	c, err := mandrill.New("key", mandrill.WithBaseURL(server.URL+"/api/1.0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return s, c, server.URL
}

const description = "../../../shared/mandrill/transactional.openapi.json"

// described validates requests and answers of the API.
func described(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	data, err := os.ReadFile(description)
	if err != nil {
		t.Log("Mailchimp's description of the API is not here: nothing is compared with it")
		return next
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	// The description contradicts itself there: what it extends allows no further fields.
	schemas := document.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for _, extended := range []string{"ApiKey", "Error"} {
		delete(schemas[extended].(map[string]any), "additionalProperties")
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("mandrill.json", document); err != nil {
		t.Fatal(err)
	}
	check := func(pointer string, body []byte) {
		schema, err := compiler.Compile("mandrill.json#" + pointer)
		if err != nil {
			t.Errorf("compiling %s: %v", pointer, err)
			return
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
		if err != nil {
			t.Errorf("%s: %v", pointer, err)
			return
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s doesn't take\n%s\n%v", pointer, body, err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, isAPI := strings.CutPrefix(r.URL.Path, "/api/1.0/")
		if !isAPI {
			next.ServeHTTP(w, r)
			return
		}
		operation := "/paths/" + strings.ReplaceAll("/"+path, "/", "~1") + "/post"
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		if recorder.Code == http.StatusOK && json.Valid(recorder.Body.Bytes()) {
			check(operation+"/requestBody/content/application~1json/schema", body)
			check(operation+"/responses/200/content/application~1json/schema", recorder.Body.Bytes())
		} else if json.Valid(recorder.Body.Bytes()) {
			check("/components/schemas/Error", recorder.Body.Bytes())
		}
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
	})
}

func request(t *testing.T, body string) *mandrill.Request {
	t.Helper()
	p, err := mandrill.NewPolicy([]string{"example.com", "new.invalid"}, "hello@example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := mandrill.ParseRequest([]byte(body), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func to(addresses ...string) string {
	return `"to":[{"email":"` + strings.Join(addresses, `"},{"email":"`) + `"}]`
}

func TestSend(t *testing.T) {
	many := make([]string, 11)
	for i := range many {
		many[i] = "ada@example.net"
	}
	for _, test := range []struct{ name, body, status, reason string }{
		{"sent", `{"message":{"text":"Hi","subject":"Hi",` + to("ada@example.net") + `}}`, "sent", ""},
		{"template", `{"template_name":"welcome","message":{` + to("ada@example.net") + `}}`, "sent", ""},
		{"async", `{"async":true,"message":{` + to("ada@example.net") + `}}`, "queued", ""},
		{"more than 10", `{"message":{` + to(many...) + `}}`, "queued", ""},
		{"reject@", `{"message":{` + to("reject@test.mandrillapp.com") + `}}`, "rejected", "custom"},
		{"bounces later", `{"message":{` + to("hard_bounce@test.mandrillapp.com") + `}}`, "sent", ""},
		{"unsigned", `{"message":{"from_email":"a@new.invalid",` + to("ada@example.net") + `}}`, "rejected", "unsigned"},
		{"every field", `{"async":false,"ip_pool":"Main","message":{"html":"<p>","text":"t","subject":"s","from_email":"a@example.com","from_name":"A","to":[{"email":"a@b.c","name":"A","type":"to"}],` +
			`"headers":{"Reply-To":"b@example.com"},"important":true,"track_opens":null,"track_clicks":null,"auto_text":null,"auto_html":null,"inline_css":true,"url_strip_qs":null,"preserve_recipients":null,` +
			`"view_content_link":false,"bcc_address":"b@example.com","tracking_domain":null,"signing_domain":null,"return_path_domain":null,"merge":true,"merge_language":"handlebars",` +
			`"global_merge_vars":[{"name":"a","content":"b"}],"merge_vars":[{"rcpt":"a@b.c","vars":[{"name":"a","content":"b"}]}],"tags":["x"],"subaccount":"s","google_analytics_domains":["example.com"],` +
			`"google_analytics_campaign":"c","metadata":{"a":"b"},"recipient_metadata":[{"rcpt":"a@b.c","values":{"a":1}}],"attachments":[{"type":"text/plain","name":"a.txt","content":"aGk="}],` +
			`"images":[{"type":"image/png","name":"i","content":"aGk="}]}}`, "sent", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c, _ := start(t)
			got, err := c.Send(t.Context(), request(t, test.body))
			if err != nil {
				t.Fatal(err)
			}
			for _, recipient := range got {
				if recipient.Status != test.status || recipient.RejectReason != test.reason {
					t.Errorf("got %+v", recipient)
				}
			}
			if mails := s.Mails(); len(mails) != 1 || strings.Contains(string(mails[0].Request), `"key"`) {
				t.Errorf("kept %+v", mails)
			}
		})
	}
}

func TestOtherEndpoints(t *testing.T) {
	_, c, _ := start(t)
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 0 {
		t.Errorf("domains %+v, %v", domains, err)
	}
	sent, err := c.Send(t.Context(), request(t, `{"message":{"subject":"Hello","metadata":{"entry":"e1"},`+to("ada@example.net", "hard_bounce@test.mandrillapp.com")+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 1 || domains[0].Domain != "example.com" {
		t.Errorf("domains %+v, %v", domains, err)
	}
	if domain, err := c.CheckDomain(t.Context(), "example.com"); err != nil || !domain.SPF.Valid || !domain.DKIM.Valid || domain.VerifiedAt == "" {
		t.Errorf("domain %+v, %v", domain, err)
	}
	if domain, err := c.CheckDomain(t.Context(), "new.invalid"); err != nil || domain.SPF.Valid || domain.SPF.Error == "" || domain.VerifiedAt != "" {
		t.Errorf("domain %+v, %v", domain, err)
	}
	for i, state := range []string{"sent", "bounced"} {
		if info, err := c.Info(t.Context(), sent[i].ID); err != nil || info.State != state || info.Metadata["entry"] != "e1" {
			t.Errorf("info %+v, %v", info, err)
		}
	}
	var unknown *mandrill.Error
	if _, err := c.Info(t.Context(), "none"); !errors.As(err, &unknown) || unknown.Name != "Unknown_Message" {
		t.Errorf("unknown id: %v", err)
	}
	for query, want := range map[string]int{"u_entry:e1": 2, "u_entry:e2": 0, "u_other:e1": 0, "ada": 1, "*": 2} {
		if found, err := c.Search(t.Context(), query, 10); err != nil || len(found) != want {
			t.Errorf("%s finds %d, %v", query, len(found), err)
		}
	}
}

func TestKeys(t *testing.T) {
	_, _, base := start(t)
	for key, name := range map[string]string{"": "ValidationError", "invalid-key": "Invalid_Key"} {
		answer, err := http.Post(base+"/api/1.0/users/ping2.json", "application/json", strings.NewReader(`{"key":"`+key+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode < 400 || !strings.Contains(string(body), name) {
			t.Errorf("key %q: %d %s, %v", key, answer.StatusCode, body, err)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		failure sandbox.Failure
		kind    mandrill.Kind
		mails   int
	}{
		{"status", sandbox.Failure{Status: 500}, mandrill.Retry, 0},
		{"name", sandbox.Failure{Name: "Invalid_Key"}, mandrill.Account, 0},
		{"rate limit", sandbox.Failure{Status: 429, Name: "RequestLimitExceeded", RetryAfter: 3}, mandrill.Account, 0},
		{"malformed body", sandbox.Failure{Body: "<html>"}, mandrill.Unknown, 0},
		{"HTML", sandbox.Failure{Status: 500, Body: "<html>"}, mandrill.Retry, 0},
		{"reset", sandbox.Failure{Reset: "before"}, mandrill.Unknown, 0},
		{"reset after recording", sandbox.Failure{Reset: "after"}, mandrill.Unknown, 1},
		{"delay", sandbox.Failure{Delay: "10ms"}, "", 1},
		{"rejected", sandbox.Failure{RejectReason: "spam"}, "", 1},
		{"queued", sandbox.Failure{QueuedReason: "account-suspended"}, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sandbox.New()
			server := httptest.NewServer(s)
			defer server.Close()
			c, err := mandrill.New("key", mandrill.WithBaseURL(server.URL+"/api/1.0"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			if err := s.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			mail := request(t, `{"message":{`+to("ada@example.net")+`}}`)
			got, err := c.Send(t.Context(), mail)
			var failure *mandrill.Error
			if kind := mandrill.Kind(""); errors.As(err, &failure) {
				if kind = failure.Kind; kind != test.kind {
					t.Errorf("kind %s: %v", kind, err)
				}
			} else if test.kind != "" || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
			if len(s.Mails()) != test.mails {
				t.Errorf("%d mails", len(s.Mails()))
			}
			if got, err = c.Send(t.Context(), mail); err != nil || got[0].Status != "sent" {
				t.Errorf("the next call: %v, %v", got, err)
			}
		})
	}
}

func TestFailOverHTTP(t *testing.T) {
	_, c, base := start(t)
	for body, want := range map[string]int{
		`{"calls":2,"status":503,"name":"ServiceUnavailable"}`: 204, `{"sttus":1}`: 400, `{"delay":"long"}`: 400, `[`: 400,
	} {
		answer, err := http.Post(base+"/sandbox/fail", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", body, answer.StatusCode)
		}
	}
	for i, want := range []bool{true, true, false} {
		if _, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`)); (err != nil) != want {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestWait(t *testing.T) {
	s, c, _ := start(t)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Wait(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for nothing: %v", err)
	}
	sent := make(chan error)
	go func() {
		_, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`))
		sent <- err
	}()
	mails, err := s.Wait(t.Context(), 1)
	if err != nil || len(mails) != 1 || mails[0].Message.To[0].Email != "ada@example.net" {
		t.Errorf("got %v, %v", mails, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, h http.Handler, method, target string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPage(t *testing.T) {
	s, c, _ := start(t)
	if w := get(t, s, "GET", "/", nil); w.Code != 200 || !strings.Contains(w.Body.String(), "No mail yet") {
		t.Errorf("empty page: %d %s", w.Code, w.Body)
	}
	const script = `<script>alert(1)</script>`
	if _, err := c.Send(t.Context(), request(t, `{"message":{"subject":"`+script+`","html":"<b>Hi</b>`+script+`","text":"plain",`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	id := s.Mails()[0].ID
	list := get(t, s, "GET", "/", nil).Body.String()
	page := get(t, s, "GET", "/mail/"+id, nil)
	if !strings.Contains(list, "mail/"+id) || !strings.Contains(list, "ada@example.net") || strings.Contains(list, script) || strings.Contains(page.Body.String(), script) {
		t.Errorf("list %s\npage %s", list, page.Body)
	}
	html := get(t, s, "GET", "/mail/"+id+"/html", nil)
	if policy := html.Header().Get("Content-Security-Policy"); !strings.Contains(html.Body.String(), "<b>Hi</b>") || !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("HTML under %q: %s", policy, html.Body)
	}
	for target, want := range map[string]int{"/mail/none": 404, "/mail/none/html": 404, "/sandbox/messages/none": 404, "/sandbox/messages/" + id: 200, "/nowhere": 404} {
		if w := get(t, s, "GET", target, nil); w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := get(t, s, "DELETE", "/sandbox/messages", nil); w.Code != 204 || len(s.Mails()) != 0 {
		t.Errorf("clearing: %d, %d mails", w.Code, len(s.Mails()))
	}
	if w := get(t, s, "GET", "/sandbox/messages", nil); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("no mails are listed as %s", w.Body)
	}
}

func TestForeignPagesChangeNothing(t *testing.T) {
	s, c, _ := start(t)
	if _, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	w := get(t, s, "DELETE", "http://localhost/sandbox/messages", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	if w.Code != http.StatusForbidden || len(s.Mails()) != 1 {
		t.Errorf("%d, %d mails", w.Code, len(s.Mails()))
	}
}

func TestLocalOnly(t *testing.T) {
	s := sandbox.LocalOnly(sandbox.New())
	for _, test := range []struct {
		client, host string
		want         int
	}{
		{"127.0.0.1:1", "localhost:8025", 200},
		{"127.0.0.1:1", "LOCALHOST", 200},
		{"127.0.0.1:1", "mail.localhost:8025", 200},
		{"127.0.0.1:1", "127.0.0.1", 200},
		{"[::1]:1", "[::1]:8025", 200},
		{"[::1]:1", "[::1]", 200},
		{"127.9.9.9:1", "localhost", 200},
		{"192.0.2.1:1", "localhost", 403},
		{"[2001:db8::1]:1", "localhost", 403},
		{"127.0.0.1:1", "evil.example", 403},
		{"127.0.0.1:1", "localhost.evil.example", 403},
		{"127.0.0.1:1", "192.0.2.1", 403},
		{"127.0.0.1:1", "", 403},
		{"@", "localhost", 403},
	} {
		w := get(t, s, "GET", "/", func(r *http.Request) { r.RemoteAddr, r.Host = test.client, test.host })
		if w.Code != test.want {
			t.Errorf("client %s, host %s: %d", test.client, test.host, w.Code)
		}
		if w.Code == 403 && !strings.Contains(w.Body.String(), "allow_remote") {
			t.Error("the refusal names no remedy")
		}
	}
}
