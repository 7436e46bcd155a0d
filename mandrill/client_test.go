package mandrill_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		{"template", `{"template_name":"w",` + message("")[1:], "/api/1.0/messages/send-template", `{"key":"s3cret-key","template_name":"w","template_content":[],` + message("")[1:]},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != http.MethodPost || r.URL.Path != test.path || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s, %v", r.Method, r.URL, err)
				}
				if got, want := fmt.Sprint(tree(t, body)), fmt.Sprint(tree(t, []byte(test.want))); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				fmt.Fprint(w, `[{"email":"ada@example.net","status":"queued","queued_reason":"sending-paused","reject_reason":null,"_id":"1","new":true},`+
					`{"email":"b@c.d","status":"rejected","reject_reason":"unsigned"}]`)
			}))
			defer server.Close()
			got, err := client(t, server.URL+"/api/1.0/").Send(t.Context(), request(t, test.body))
			if err != nil || len(got) != 2 {
				t.Fatalf("got %v, %v", got, err)
			}
			if !got[0].Taken() || !got[0].Held() || got[0].ID != "1" || got[1].Taken() || got[1].Held() || !strings.Contains(got[1].Remedy(), "SPF") {
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
		{"general", 500, named("GeneralError"), mandrill.Retry, "GeneralError"},
		{"unavailable", 503, named("ServiceUnavailable"), mandrill.Retry, "ServiceUnavailable"},
		{"name that is new, 4xx", 422, named("Something_New"), mandrill.Refused, "Something_New"},
		{"name that is new, 5xx", 500, named("Something_New"), mandrill.Retry, "Something_New"},
		{"HTML", 500, "<html>", mandrill.Retry, ""},
		{"bad gateway", 502, "", mandrill.Retry, ""},
		{"gateway timeout", 504, "", mandrill.Unknown, ""},
		{"wrong base", 404, "<html>", mandrill.Retry, ""},
		{"redirect", 302, "", mandrill.Retry, ""},
		{"too large", 413, "", mandrill.Refused, ""},
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
				fmt.Fprint(w, test.body)
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
		})
	}
}

// TestBrokenConnections tells a message that was never written from one that may have been.
func TestBrokenConnections(t *testing.T) {
	listen := func(serve func(net.Conn)) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				serve(connection)
				connection.Close()
			}
		}()
		t.Cleanup(func() { listener.Close(); <-done })
		return "http://" + listener.Addr().String()
	}
	readRequest := func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}
	for _, test := range []struct {
		name string
		base string
		kind mandrill.Kind
	}{
		{"nobody listens", "http://127.0.0.1:1", mandrill.Retry},
		{"no such host", "http://mandrill.invalid", mandrill.Retry},
		{"no TLS there", strings.Replace(listen(func(c net.Conn) { readRequest(c) }), "http:", "https:", 1), mandrill.Retry},
		{"closed after the request", listen(readRequest), mandrill.Unknown},
		{"closed within the headers", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-") }), mandrill.Unknown},
		{"closed within the body", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{") }), mandrill.Unknown},
		{"not HTTP", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "220 smtp.example.com ESMTP\r\n") }), mandrill.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client(t, test.base).Send(t.Context(), request(t, message("")))
			var got *mandrill.Error
			if !errors.As(err, &got) || got.Kind != test.kind {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Errorf("the error has the key: %v", err)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := client(t, server.URL).Send(ctx, request(t, message("")))
	var got *mandrill.Error
	if !errors.As(err, &got) || got.Kind != mandrill.Unknown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer in time: %v", err)
	}
	if _, err = client(t, server.URL).Send(ctx, request(t, message(""))); !errors.As(err, &got) || got.Kind != mandrill.Retry {
		t.Errorf("no time to begin with: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct{ key, base string }{
		{"", mandrill.DefaultBaseURL},
		{"s3cret\n", mandrill.DefaultBaseURL},
		{"s3cret key", mandrill.DefaultBaseURL},
		{key, ""},
		{key, "mandrillapp.com/api/1.0"},
		{key, "ftp://mandrillapp.com"},
		{key, "https://"},
		{key, "https://user:s3cret@mandrillapp.com"},
		{key, "https://mandrillapp.com?a=b"},
		{key, "https://mandrillapp.com/ /\x00"},
	} {
		_, err := mandrill.New(test.key, mandrill.WithBaseURL(test.base))
		if err == nil {
			t.Errorf("%q at %q is accepted", test.key, test.base)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error has the secret: %v", err)
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	c := client(t, mandrill.DefaultBaseURL)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{c, *c} {
			if printed := fmt.Sprintf(verb, value); strings.Contains(printed, key) || strings.Contains(printed, fmt.Sprintf("%x", key)) {
				t.Errorf("%s prints %s", verb, printed)
			}
		}
	}
}
