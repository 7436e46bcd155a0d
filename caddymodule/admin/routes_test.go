package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestRoutes matches paths and methods. No configuration is running: the answer to a call that is handled names that.
func TestRoutes(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
		want, allow  string
	}{
		{"GET", "status", 404, "the running configuration has no mailchimp", ""},
		{"HEAD", "status", 404, "the running configuration has no mailchimp", ""},
		{"GET", "ready", 503, "the running configuration has no mailchimp", ""},
		{"GET", "outbox", 404, "no outbox is running", ""},
		{"GET", "outbox/1", 404, "no outbox is running", ""},
		{"GET", "outbox/retry", 404, "no outbox is running", ""},
		{"POST", "outbox/retry", 404, "no outbox is running", ""},
		{"POST", "outbox/a%2Fb/retry", 404, "no outbox is running", ""},
		{"POST", "senders/list:l1/pause", 404, "no outbox is running", ""},
		{"POST", "status", 405, "/mailchimp/status takes GET, not POST", "GET"},
		{"DELETE", "outbox/retry", 405, "/mailchimp/outbox/retry takes GET and POST, not DELETE", "GET, POST"},
		{"GET", "", 404, "there is no /mailchimp/", ""},
		{"GET", "outbox/", 404, "there is no /mailchimp/outbox/", ""},
		{"POST", "outbox//retry", 404, "there is no /mailchimp/outbox//retry", ""},
		{"POST", "outbox/a/b/retry", 404, "there is no /mailchimp/outbox/a/b/retry", ""},
	} {
		w := httptest.NewRecorder()
		err := API{}.serve(w, httptest.NewRequest(test.method, Path+test.path, http.NoBody))
		var problem caddy.APIError
		if !errors.As(err, &problem) || problem.HTTPStatus != test.status || !strings.Contains(err.Error(), test.want) ||
			w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: %v, allowed %q", test.method, test.path, err, w.Header().Get("Allow"))
		}
	}
}

// TestPathValues unescapes the segments of a path.
func TestPathValues(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, Path+"outbox/a%2Fb%20c/retry", http.NoBody)
	if !(route{path: "outbox/{id}/retry"}).matches(r) || r.PathValue("id") != "a/b c" {
		t.Errorf("the id is %q", r.PathValue("id"))
	}
}
