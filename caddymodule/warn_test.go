package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// TestHookWarns has each warning come once, however many hooks come, and only for its cause.
func TestHookWarns(t *testing.T) {
	const (
		cookies = "forwards the cookies"
		parse   = "calls this hook with response.parse"
		before  = "calls this hook before a flow"
		method  = "by another method than POST"
	)
	for _, test := range []struct {
		name, lines, body string
		change            func(*http.Request)
		want              string
	}{
		{
			"all is well", "", `{"n":%d,"identity":{"id":"37420027-2d65-4112-ab01-d185fded0c63"},"request_cookies":{},` +
				`"flow":{"id":"f"}}`, nil, "",
		},
		{"no ctx of Ory's", "", `{"n":%d,"identity":1,"request_cookies":"x"}`, nil, ""},
		{"cookies", "", `{"n":%d,"request_cookies":{"session":"s3cret"}}`, nil, cookies},
		{
			"key of Ory's in a header", "",
			`{"n":%d,"request_headers":{"Ory-Base-Url-Rewrite-Token":["ory_apikey_s3cret"]}}`, nil, cookies,
		},
		{"harmless headers", "", `{"n":%d,"request_headers":{"Accept-Language":["de"],"User-Agent":["x"]}}`, nil, ""},
		{"before registration", "", `{"n":%d,"flow":{"id":"f"},"request_headers":{}}`, nil, before},
		{"before settings", "", `{"n":%d,"flow":{"identity":{"id":"1"}},"session":{}}`, nil, before},
		{"courier", "", `{"n":%d,"template_type":"recovery_code_invalid","flow":{}}`, nil, ""},
		{"parse", "", `{"n":%d,"identity":{"id":"00000000-0000-0000-0000-000000000000"}}`, nil, parse},
		{"parse as is meant", "store_result", `{"n":%d,"identity":{"id":"00000000-0000-0000-0000-000000000000"}}`, nil, ""},
		{"GET", "", `{"n":%d}`, func(r *http.Request) { r.Method = http.MethodGet }, method},
		{"PUT", "", `{"n":%d}`, func(r *http.Request) { r.Method = http.MethodPut }, method},
		{
			"somebody else's GET", "", `{"n":%d}`,
			func(r *http.Request) { r.Method = http.MethodGet; r.Header.Del("X-Hook-Key") }, "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := edgetest.New(t, `function(ctx) null`, test.lines)
			for n := range 3 {
				e.Post(fmt.Sprintf(test.body, n), test.change)
			}
			for _, warning := range []string{cookies, parse, before, method} {
				want := 0
				if warning == test.want {
					want = 1
				}
				if got := strings.Count(e.Logs(), warning); got != want {
					t.Errorf("%q came %d times", warning, got)
				}
			}
		})
	}
}
