package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSandboxPages finds the pages of mails and of members from each other, and the latter without its last slash.
func TestSandboxPages(t *testing.T) {
	handler := newSandboxes()
	for _, test := range []struct {
		path     string
		status   int
		location string
		body     string
	}{
		{"/", http.StatusOK, "", `<a href="3.0/">`},
		{"/3.0/", http.StatusOK, "", `<a href="../">`},
		{"/3.0", http.StatusPermanentRedirect, "3.0/", ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, test.path, nil))
		if w.Code != test.status || w.Header().Get("Location") != test.location ||
			!strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s: status %d, to %q: %s", test.path, w.Code, w.Header().Get("Location"), w.Body)
		}
	}
}
