package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

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

// TestLocalOnlyRefusesProxies has clients on loopback by the right name, which pass something on.
func TestLocalOnlyRefusesProxies(t *testing.T) {
	s := sandbox.LocalOnly(sandbox.New())
	for _, header := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP",
	} {
		for _, value := range []string{"127.0.0.1", "192.0.2.1", ""} {
			w := get(t, s, "GET", "/", func(r *http.Request) {
				r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
				r.Header.Set(header, value)
			})
			if w.Code != 403 || !strings.Contains(w.Body.String(), "allow_remote") {
				t.Errorf("%s %q: %d %s", header, value, w.Code, w.Body)
			}
		}
	}
}
