package sandbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		"retry_after": {RetryAfter: -1}, "status": {Status: 99}, "limit": {Limit: -1}, "per": {Limit: 1, Per: "0s"},
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

// TestFailuresOfSome: other calls go well, and don't use a failure up.
func TestFailuresOfSome(t *testing.T) {
	for name, test := range map[string]struct {
		failure sandbox.Failure
		fails   string
	}{
		"a call":         {sandbox.Failure{Endpoint: "messages/search", Status: 500}, "search"},
		"a text":         {sandbox.Failure{Contains: "invoice", Status: 403, Body: "<html>"}, "invoice"},
		"a sub-account":  {sandbox.Failure{Subaccount: "shop", Name: "PaymentRequired"}, "shop"},
		"both":           {sandbox.Failure{Subaccount: "shop", Contains: "invoice", Status: 403}, ""},
		"queued":         {sandbox.Failure{Subaccount: "shop", QueuedReason: "sending-paused"}, "shop"},
		"finds nothing":  {sandbox.Failure{FindsNothing: true}, "search"},
		"after recorded": {sandbox.Failure{Endpoint: "messages/send", Contains: "shop", Reset: "after"}, "shop"},
	} {
		t.Run(name, func(t *testing.T) {
			s, c, _ := start(t)
			if _, err := c.AddSubaccount(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			test.failure.Calls = 10
			if err := s.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			send := func(more string) bool {
				got, err := c.Send(t.Context(), request(t, `{"message":{`+more+to("ada@example.net")+`}}`))
				return err != nil || got[0].Status != "sent"
			}
			for kind, failed := range map[string]func() bool{
				"plain":   func() bool { return send("") },
				"invoice": func() bool { return send(`"text":"your invoice",`) },
				"shop":    func() bool { return send(`"subaccount":"shop",`) },
				"ping":    func() bool { return c.Ping(t.Context()) != nil },
				"search": func() bool {
					found, err := c.Search(t.Context(), "*", 10)
					return err != nil || len(s.Mails()) > 0 && len(found) == 0
				},
			} {
				if kind == "search" {
					send("")
				}
				if got := failed(); got != (kind == test.fails) {
					t.Errorf("%s fails: %v", kind, got)
				}
			}
		})
	}
}

// TestFailureBehindAnother: one that isn't meant for a call lets it have the next one.
func TestFailureBehindAnother(t *testing.T) {
	s, c, _ := start(t)
	for _, failure := range []sandbox.Failure{{Endpoint: "messages/search", Status: 500}, {Status: 503}} {
		if err := s.Fail(failure); err != nil {
			t.Fatal(err)
		}
	}
	refusedAs(t, c.Ping(t.Context()), "ServiceUnavailable")
	_, err := c.Search(t.Context(), "*", 1)
	refusedAs(t, err, "GeneralError")
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRateLimit is a token bucket.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		if err := s.Fail(sandbox.Failure{Calls: 1000, Limit: 10, Per: "5s", RetryAfter: 3}); err != nil {
			t.Fatal(err)
		}
		call := func(n int) (passed int) {
			for range n {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/users/ping2", strings.NewReader(`{"key":"k"}`)))
				switch {
				case w.Code == 200:
					passed++
				case w.Code != 429 || w.Header().Get("Retry-After") != "3":
					t.Errorf("%d %v", w.Code, w.Header())
				}
			}
			return passed
		}
		got := fmt.Sprint(call(15))
		for _, after := range []time.Duration{time.Second, time.Minute, 0} {
			time.Sleep(after)
			got += fmt.Sprint(" ", call(15))
		}
		if got != "10 2 10 0" {
			t.Errorf("passed %s", got)
		}
		s.Recover()
		if call(20) != 20 {
			t.Error("the limit is still there")
		}
	})
}

// TestPHP makes empty arrays of empty objects.
func TestPHP(t *testing.T) {
	s, _, base := start(t)
	for body, want := range map[string]string{
		`"headers":[],"metadata":[],"recipient_metadata":[{"rcpt":"a@b.c","values":[]}]`: `"status":"sent"`,
		`"headers":["x"]`: `{\"message\":{\"headers\":\"Please enter an object\"}}`,
		`"tags":"x"`:      `{\"message\":{\"tags\":\"Please enter an array\"}}`,
		`"merge":"x"`:     `{\"message\":{\"merge\":\"Please enter a boolean\"}}`,
		`"subject":5`:     `{\"message\":{\"subject\":\"Please enter a string\"}}`,
		`"tags":["_x"]`:   `Tags may not start with an underscore`,
	} {
		// Not as the description has it, which has objects.
		got := raw(t, base+"/api/1.4/messages/send",
			`{"key":"k","message":{"from_email":"a@example.com",`+body+`,`+to("ada@example.net")+`}}`)
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
	if got := raw(t, base+"/api/1.4/messages/send", `{"key":"k","message":{`+to("a@b.c")+`}}`); !strings.Contains(got,
		`from_email`) {
		t.Errorf("without a sender: %s", got)
	}
	if w := get(t, s, "GET", "/mail/"+s.Mails()[0].ID, nil); w.Code != 200 {
		t.Errorf("the mail is shown with %d", w.Code)
	}
}
