package caddymodule

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// TestRequestKey has calls whose requests are the same to a hook, and others that are not.
func TestRequestKey(t *testing.T) {
	key := func(template, host, uri, body string, change func(*http.Request)) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, uri, nil)
		r.Host = host
		if change != nil {
			change(r)
		}
		c := &call{hook: &Webhook{Template: template, kind: new(mails)}, request: r}
		key, _ := c.key(&ory.Hook{Body: body}, "")
		return key
	}
	secure := func(r *http.Request) { r.TLS = new(tls.ConnectionState) }
	stripped := func(path string) func(*http.Request) {
		return func(r *http.Request) {
			original := http.Request{URL: &url.URL{Path: path, RawQuery: r.URL.RawQuery}}
			*r = *r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	first := key("t", "a.example", "/h?x=1", "{}", nil)
	for name, test := range map[string]struct {
		key  string
		same bool
	}{
		"the same":                  {key("t", "a.example", "/h?x=1", "{}", nil), true},
		"host in capitals":          {key("t", "A.Example", "/h?x=1", "{}", nil), true},
		"implied port":              {key("t", "a.example:80", "/h?x=1", "{}", nil), true},
		"implied port of HTTPS":     {key("t", "a.example:443", "/h?x=1", "{}", secure), true},
		"another port":              {key("t", "a.example:443", "/h?x=1", "{}", nil), false},
		"another host":              {key("t", "b.example", "/h?x=1", "{}", nil), false},
		"another path":              {key("t", "a.example", "/g?x=1", "{}", nil), false},
		"a path in another case":    {key("t", "a.example", "/H?x=1", "{}", nil), false},
		"an escaped path":           {key("t", "a.example", "/%2Fh?x=1", "{}", nil), false},
		"another query":             {key("t", "a.example", "/h?x=2", "{}", nil), false},
		"no query":                  {key("t", "a.example", "/h", "{}", nil), false},
		"another template":          {key("u", "a.example", "/h?x=1", "{}", nil), false},
		"another body":              {key("t", "a.example", "/h?x=1", "[]", nil), false},
		"another path, stripped":    {key("t", "a.example", "/h?x=1", "{}", stripped("/p/h")), false},
		"the same path, rewritten":  {key("t", "a.example", "/other?x=1", "{}", stripped("/h")), true},
		"a header like the body":    {key("t", "a.example", "/h?x=1", "{}", header("Idempotency-Key", "{}")), false},
		"a trigger like the body":   {key("t", "a.example", "/h?x=1", "{}", header("Ory-Webhook-Trigger-Id", "{}")), false},
		"parts that run into other": {key("th", "a.example", "/?x=1", "{}", nil), false},
	} {
		if (test.key == first) != test.same {
			t.Errorf("%s: the keys are equal: %v", name, !test.same)
		}
	}
}
