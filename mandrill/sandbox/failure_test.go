package sandbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		failure sandbox.Failure
		kind    mandrill.Kind
		mails   int
	}{
		{"server error", sandbox.Failure{Status: 500}, mandrill.Unknown, 0},
		{"status alone", sandbox.Failure{Status: 401}, mandrill.Account, 0},
		{"name alone", sandbox.Failure{Name: "Unknown_Template"}, mandrill.Refused, 0},
		{"unavailable", sandbox.Failure{Status: 503}, mandrill.Retry, 0},
		{"error with status 200", sandbox.Failure{Status: 200, Name: "ValidationError"}, mandrill.Refused, 0},
		{"rate limit", sandbox.Failure{Status: 429, Name: "RequestLimitExceeded", RetryAfter: 3}, mandrill.Account, 0},
		{"malformed body", sandbox.Failure{Body: "<html>"}, mandrill.Unknown, 0},
		{"HTML", sandbox.Failure{Status: 500, Body: "<html>"}, mandrill.Unknown, 0},
		{"reset", sandbox.Failure{Reset: "before"}, mandrill.Unknown, 0},
		{"reset after recording", sandbox.Failure{Reset: "after"}, mandrill.Unknown, 1},
		{"delay", sandbox.Failure{Delay: "10ms"}, "", 1},
		{"rejected", sandbox.Failure{RejectReason: "spam"}, "", 1},
		{"invalid", sandbox.Failure{RejectReason: "invalid"}, "", 1},
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

// TestFailureAnswers: the status and the name that were asked for are answered, and one stands for the other.
func TestFailureAnswers(t *testing.T) {
	s, _, base := start(t)
	for _, test := range []struct {
		failure sandbox.Failure
		want    string
	}{
		{sandbox.Failure{Status: 401}, "401 Invalid_Key 401"},
		{sandbox.Failure{Status: 402}, "402 PaymentRequired 10"},
		{sandbox.Failure{Status: 404}, "404 Unknown_Template 5"},
		{sandbox.Failure{Status: 422}, "422 ValidationError -2"},
		{sandbox.Failure{Status: 429}, "429 RequestLimitExceeded 429"},
		{sandbox.Failure{Status: 418}, "418 GeneralError -1"},
		{sandbox.Failure{Status: 502}, "502 GeneralError -1"},
		{sandbox.Failure{Name: "PaymentRequired"}, "402 PaymentRequired 10"},
		{sandbox.Failure{Name: "Something_New"}, "500 Something_New -1"},
		{sandbox.Failure{Status: 500, Name: "Invalid_Key"}, "500 Invalid_Key 401"},
		{sandbox.Failure{Status: 422, Name: "Unknown_Subaccount"}, "422 Unknown_Subaccount 12"},
	} {
		if err := s.Fail(test.failure); err != nil {
			t.Fatal(err)
		}
		status, answer := post(t, base+"/api/1.0/users/ping2", `{"key":"k"}`)
		if got := fmt.Sprint(status, " ", answer["name"], " ", answer["code"]); got != test.want {
			t.Errorf("%+v: %s", test.failure, got)
		}
	}
}

func TestFailRefuses(t *testing.T) {
	s := sandbox.New()
	for field, failure := range map[string]sandbox.Failure{
		"retry_after": {RetryAfter: -1}, "status": {Status: 99},
	} {
		if err := s.Fail(failure); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestFailOverHTTP(t *testing.T) {
	_, c, base := start(t)
	for body, want := range map[string]int{
		`{"calls":2,"status":503,"name":"ServiceUnavailable"}`: 204, `{"delay":"long"}`: 400,
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

// TestFailuresAreBounded: each of them may have a body.
func TestFailuresAreBounded(t *testing.T) {
	s := sandbox.New()
	for range 100 {
		if err := s.Fail(sandbox.Failure{Calls: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Fail(sandbox.Failure{}); err == nil || !strings.Contains(err.Error(), "100 failures") {
		t.Errorf("one more: %v", err)
	}
	s.Recover()
	if err := s.Fail(sandbox.Failure{}); err != nil {
		t.Errorf("after they were forgotten: %v", err)
	}
}

// TestOtherMethodsDontFail: a look with a browser must not use up a failure.
func TestOtherMethodsDontFail(t *testing.T) {
	s, c, _ := start(t)
	if err := s.Fail(sandbox.Failure{Status: 503}); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		if w := get(t, s, method, "/api/1.0/users/ping2.json", nil); w.Code != http.StatusMethodNotAllowed ||
			w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("the failure was used up")
	}
}
