package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestIndexIsAskedAgain asks an account again soon that did not say whether it has the index, and others later.
func TestIndexIsAskedAgain(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		fmt.Fprint(w, "[]")
	}))
	defer server.Close()
	client, err := mandrill.New("key", mandrill.WithBaseURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for name, test := range map[string]struct {
		answer error
		lacks  bool
		calls  int
	}{
		"has it":        {nil, false, 0},
		"lacks it":      {errNoIndex, true, 0},
		"did not say":   {errors.New("connection refused"), true, 1},
		"was not asked": {nil, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			app := new(App)
			calls = 0
			if name != "was not asked" {
				app.indexes.of(client).last.Store(&lastAnswer{time.Now().Add(-indexAgain), test.answer})
			}
			if lacks := app.lacksIndex(t.Context(), client); lacks != test.lacks || calls != test.calls {
				t.Errorf("lacks %v, %d calls", lacks, calls)
			}
		})
	}
}
