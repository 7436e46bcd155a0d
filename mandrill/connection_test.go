package mandrill_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestBrokenConnections: a message that may have been written may have been taken.
func TestBrokenConnections(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		kind   mandrill.Kind
	}{
		{"nobody listens", nil, mandrill.Retry},
		{"closed after the request", func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, mandrill.Unknown},
		{"closed within the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "[{")
		}, mandrill.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := "http://127.0.0.1:1"
			if test.answer != nil {
				server := httptest.NewServer(test.answer)
				defer server.Close()
				base = server.URL
			}
			_, err := client(t, base).Send(t.Context(), request(t, message("")))
			var got *mandrill.Error
			if !errors.As(err, &got) || got.Kind != test.kind || got.Status != 0 {
				t.Errorf("got %v", err)
			}
		})
	}
}
