package ory_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func TestAuthAllows(t *testing.T) {
	var rotating ory.Auth
	for _, err := range []error{
		rotating.Header("x-hook-key", "old"),
		rotating.Header("X-Hook-Key", "new"),
		rotating.Cookie("hook", "c00kie"),
		rotating.Basic("ory", "pass:word"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var off ory.Auth
	off.Off()

	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	cookie := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: name, Value: value}) }
	}
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	for _, test := range []struct {
		name    string
		auth    *ory.Auth
		prepare func(*http.Request)
		want    bool
	}{
		{"nothing offered", &rotating, func(*http.Request) {}, false},
		{"first header", &rotating, header("X-Hook-Key", "old"), true},
		{"second header", &rotating, header("X-Hook-Key", "new"), true},
		{"second value of a header", &rotating, header("X-Hook-Key", "x", "new"), true},
		{"wrong value", &rotating, header("X-Hook-Key", "newer"), false},
		{"prefix of the value", &rotating, header("X-Hook-Key", "ne"), false},
		{"empty value", &rotating, header("X-Hook-Key", ""), false},
		{"other case", &rotating, header("X-Hook-Key", "NEW"), false},
		{"value in another header", &rotating, header("X-Other", "new"), false},
		{"cookie", &rotating, cookie("hook", "c00kie"), true},
		{"wrong cookie", &rotating, cookie("hook", "nope"), false},
		{"value in another cookie", &rotating, cookie("other", "c00kie"), false},
		{"cookie's value in the header", &rotating, header("X-Hook-Key", "c00kie"), false},
		{"basic", &rotating, basic("ory", "pass:word"), true},
		{"wrong user", &rotating, basic("orY", "pass:word"), false},
		{"wrong password", &rotating, basic("ory", "pass"), false},
		{"not basic", &rotating, header("Authorization", "Bearer ory:pass:word"), false},
		{"off", &off, func(*http.Request) {}, true},
		{"zero value", &ory.Auth{}, func(*http.Request) {}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			test.prepare(r)
			if got := test.auth.Allows(r); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAuthRefusesWhatCannotMatch(t *testing.T) {
	var a ory.Auth
	for name, err := range map[string]error{
		"header without a name":      a.Header("", "secret"),
		"header with a space":        a.Header("X Key", "secret"),
		"host":                       a.Header("host", "secret"),
		"empty header":               a.Header("X-Key", ""),
		"header with a line break":   a.Header("X-Key", "a\nb"),
		"trailing line break":        a.Header("X-Key", "secret\r"),
		"cookie without a name":      a.Cookie("", "secret"),
		"cookie with a semicolon":    a.Cookie("hook", "a;b"),
		"empty cookie":               a.Cookie("hook", ""),
		"basic without a user":       a.Basic("", "secret"),
		"basic user with a colon":    a.Basic("a:b", "secret"),
		"basic without a password":   a.Basic("ory", ""),
		"password with a blank end":  a.Basic("ory", "secret "),
		"header with a leading tab":  a.Header("X-Key", "\tsecret"),
		"cookie with a control char": a.Cookie("hook", "a\x00b"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Key", "")
	if a.Allows(r) {
		t.Error("a refused credential lets calls in")
	}
}
