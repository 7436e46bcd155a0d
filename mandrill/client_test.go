package mandrill_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const key = "s3cret-key"

func client(t testing.TB, base string) *mandrill.Client {
	t.Helper()
	c, err := mandrill.New(key, mandrill.WithBaseURL(base))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func request(t testing.TB, body string) *mandrill.Request {
	t.Helper()
	r, err := mandrill.ParseRequest([]byte(body), policy(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSend(t *testing.T) {
	for _, test := range []struct{ name, body, path, want string }{
		{"message", message(""), "/api/1.0/messages/send", `{"key":"s3cret-key",` + message("")[1:]},
		{
			"template", `{"template_name":"w",` + message("")[1:], "/api/1.0/messages/send-template",
			`{"key":"s3cret-key","template_name":"w","template_content":[],` + message("")[1:],
		},
		{
			"Mailchimp's template", `{"mc_template_id":5,` + message("")[1:], "/api/1.0/messages/send-mc-template",
			`{"key":"s3cret-key","mc_template_id":5,` + message("")[1:],
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != http.MethodPost || r.URL.Path != test.path ||
					r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s, %v", r.Method, r.URL, err)
				}
				if got, want := fmt.Sprint(tree(t, body)), fmt.Sprint(tree(t, []byte(test.want))); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				fmt.Fprint(w,
					`[{"email":"ada@example.net","status":"queued","queued_reason":"sending-paused","reject_reason":null,"_id":"1",`+
						`"new":true},`+
						`{"email":"b@c.d","status":"rejected","reject_reason":"unsigned"}]`)
			}))
			defer server.Close()
			sent := request(t, test.body)
			stored, err := sent.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := mandrill.ParseStored(stored)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client(t, server.URL+"/api/1.0/").SendStored(t.Context(), again); err != nil {
				t.Error(err)
			}
			got, err := client(t, server.URL+"/api/1.0/").Send(t.Context(), sent)
			if err != nil || len(got) != 2 {
				t.Fatalf("got %v, %v", got, err)
			}
			if !got[0].Taken() || !got[0].Held() || got[0].ID != "1" || got[1].Taken() || got[1].Held() ||
				!strings.Contains(got[1].Remedy(), "DMARC") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestAnswers sorts what servers answer, by name before status.
func TestAnswers(t *testing.T) {
	named := func(name string) string {
		return `{"status":"error","code":-1,"name":"` + name + `","message":"about ada@example.net"}`
	}
	for _, test := range []struct {
		name   string
		status int
		body   string
		kind   mandrill.Kind
		named  string
	}{
		{"invalid key", 401, named("Invalid_Key"), mandrill.Account, "Invalid_Key"},
		{"invalid key of an old server", 500, named("Invalid_Key"), mandrill.Account, "Invalid_Key"},
		{"invalid key with status 200", 200, named("Invalid_Key"), mandrill.Account, "Invalid_Key"},
		{"payment", 402, named("PaymentRequired"), mandrill.Account, "PaymentRequired"},
		{"rate limit", 429, named("RequestLimitExceeded"), mandrill.Account, "RequestLimitExceeded"},
		{"rate limit of a proxy", 429, "slow down", mandrill.Account, ""},
		{"forbidden by a proxy", 403, "<html>", mandrill.Account, ""},
		{"validation", 422, named("ValidationError"), mandrill.Refused, "ValidationError"},
		{"validation of an old server", 500, named("ValidationError"), mandrill.Refused, "ValidationError"},
		{"template", 404, named("Unknown_Template"), mandrill.Refused, "Unknown_Template"},
		{"subaccount", 404, named("Unknown_Subaccount"), mandrill.Refused, "Unknown_Subaccount"},
		{"general", 500, named("GeneralError"), mandrill.Unknown, "GeneralError"},
		{"unavailable", 503, named("ServiceUnavailable"), mandrill.Retry, "ServiceUnavailable"},
		{"name that is new, 4xx", 422, named("Something_New"), mandrill.Refused, "Something_New"},
		{"name that is new, 5xx", 500, named("Something_New"), mandrill.Unknown, "Something_New"},
		{"HTML", 500, "<html>", mandrill.Unknown, ""},
		{"bad gateway", 502, "", mandrill.Unknown, ""},
		{"gateway timeout", 504, "", mandrill.Unknown, ""},
		{"wrong base", 404, "<html>", mandrill.Retry, ""},
		{"redirect", 302, "", mandrill.Retry, ""},
		{"redirect without a place", 304, "", mandrill.Retry, ""},
		{"too large", 413, "", mandrill.Refused, ""},
		{"plain HTTP where HTTPS is spoken", 400, "<html>", mandrill.Retry, ""},
		{"request timeout", 408, "", mandrill.Retry, ""},
		{"another success", 202, "", mandrill.Unknown, ""},
		{"success without a body", 204, "", mandrill.Unknown, ""},
		{"name that is new, with status 200", 200, named("Something_New"), mandrill.Unknown, "Something_New"},
		{"name that is new, 404", 404, named("Something_New"), mandrill.Retry, "Something_New"},
		{"name that is no name", 500, named("ada@example.net"), mandrill.Unknown, ""},
		{"long name", 500, named(strings.Repeat("x", 65)), mandrill.Unknown, ""},
		{
			"error of wrong types", 500, `{"status":1,"code":"x","name":"Invalid_Key","message":[]}`, mandrill.Account,
			"Invalid_Key",
		},
		{"huge", 200, strings.Repeat("[", 5<<20), mandrill.Unknown, ""},
		{"garbage", 200, "<html>", mandrill.Unknown, ""},
		{"nothing", 200, "", mandrill.Unknown, ""},
		{"object", 200, "{}", mandrill.Unknown, ""},
		{"null", 200, "null", mandrill.Unknown, ""},
		{"no recipient", 200, "[]", mandrill.Unknown, ""},
		{"recipient without a status", 200, `[{"email":"a@b.c"}]`, mandrill.Unknown, ""},
		{"numbers", 200, "[1]", mandrill.Unknown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body) // some have no body, and the client reads no further than it must
			}))
			defer server.Close()
			_, err := client(t, server.URL).Send(t.Context(), request(t, message("")))
			var got *mandrill.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Kind != test.kind || got.Name != test.named || got.Status != test.status {
				t.Errorf("got %+v", got)
			}
			if test.status != 200 && got.RetryAfter != 7*time.Second {
				t.Errorf("Retry-After %v", got.RetryAfter)
			}
			if strings.Contains(err.Error(), "ada@") || strings.Contains(err.Error(), key) {
				t.Errorf("the error says too much: %v", err)
			}
			if !strings.Contains(err.Error(), string(test.kind)) || !strings.Contains(err.Error(), fmt.Sprint(test.status)) {
				t.Errorf("the error says too little: %v", err)
			}
		})
	}
}

// TestErrorsOfOtherCalls: an answer that is an object may be an error whatever its status.
func TestErrorsOfOtherCalls(t *testing.T) {
	for _, test := range []struct {
		name, body string
		kind       mandrill.Kind
	}{
		{"error with status 200", `{"status":"error","code":-1,"name":"Invalid_Key","message":"x"}`, mandrill.Account},
		{"garbage", "<html>", mandrill.Unknown},
		{"string", `"PONG!"`, mandrill.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			c := client(t, server.URL)
			for call, do := range map[string]func() error{
				"Ping":        func() error { return c.Ping(t.Context()) },
				"Domains":     func() error { _, err := c.Domains(t.Context()); return err },
				"CheckDomain": func() error { _, err := c.CheckDomain(t.Context(), "example.com"); return err },
				"Info":        func() error { _, err := c.Info(t.Context(), "1"); return err },
				"Search":      func() error { _, err := c.Search(t.Context(), "*", 1); return err },

				"MetadataFields":   func() error { _, err := c.MetadataFields(t.Context()); return err },
				"AddMetadataField": func() error { _, err := c.AddMetadataField(t.Context(), "x"); return err },
				"Webhooks":         func() error { _, err := c.Webhooks(t.Context()); return err },
				"AddWebhook":       func() error { _, err := c.AddWebhook(t.Context(), "https://x", "", nil); return err },
				"UpdateWebhook":    func() error { _, err := c.UpdateWebhook(t.Context(), mandrill.Webhook{}); return err },
				"Subaccounts":      func() error { _, err := c.Subaccounts(t.Context(), ""); return err },
				"AddSubaccount":    func() error { _, err := c.AddSubaccount(t.Context(), "x"); return err },
			} {
				var got *mandrill.Error
				if err := do(); !errors.As(err, &got) || got.Kind != test.kind {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer server.Close()
	if err := client(t, server.URL).Ping(t.Context()); err == nil {
		t.Error("an object without a pong is taken for one")
	}
}

// TestScheduling: an account that may not schedule may send other messages.
func TestScheduling(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprint(w, `{"status":"error","code":10,"name":"PaymentRequired","message":"x"}`)
	}))
	defer server.Close()
	for body, want := range map[string]mandrill.Kind{
		message(""):                        mandrill.Account,
		`{"send_at":"",` + message("")[1:]: mandrill.Account,
		`{"send_at":"2030-01-02 03:04:05",` + message("")[1:]: mandrill.Refused,
	} {
		_, err := client(t, server.URL).Send(t.Context(), request(t, body))
		var got *mandrill.Error
		if !errors.As(err, &got) || got.Kind != want || got.Remedy() == "" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := mandrill.New("s3cret\n"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a key with a line break: %v", err)
	}
	_, err := mandrill.New(key, mandrill.WithBaseURL("mandrillapp.com"))
	if err == nil || !strings.Contains(err.Error(), mandrill.DefaultBaseURL) {
		t.Errorf("a base that is no URL: %v", err)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	c := client(t, mandrill.DefaultBaseURL)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{c, *c} {
			if printed := fmt.Sprintf(verb, value); strings.Contains(printed, key) ||
				strings.Contains(printed, fmt.Sprintf("%x", key)) {
				t.Errorf("%s prints %s", verb, printed)
			}
		}
	}
}
