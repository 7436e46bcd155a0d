package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// validate does what `caddy validate` does.
func validate(t *testing.T, caddyfile string) error {
	t.Helper()
	adapted, err := edgetest.Adapt([]byte(caddyfile))
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&config)
}

// TestLoadErrors is a table of configurations that adapt well and can't be loaded.
func TestLoadErrors(t *testing.T) {
	folder := t.TempDir()
	template := filepath.Join(folder, "t.jsonnet")
	for name, text := range map[string]string{
		"t.jsonnet": edgetest.Minimal, "broken.jsonnet": "function(ctx) {",
		"empty": "", "spaced": " key \n\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("EMPTY", "")
	t.Setenv("KEY", "s3cret")
	const app = "api_key s3cret\nsender_domain example.com"
	for _, test := range []struct{ name, app, first, hook, want string }{
		{"good", app, template, "auth off", ""},
		{"all of its own", "", template, "auth off\napi_key {env.KEY}\nsender_domain example.com", ""},
		{"no template", app, "", "auth off", "template is missing"},
		{"no such template", app, "nowhere.jsonnet", "auth off", "nowhere.jsonnet: no such file"},
		{"broken template", app, filepath.Join(folder, "broken.jsonnet"), "auth off", "broken.jsonnet:1:16: "},
		{"no auth", app, template, "", "auth is missing"},
		{"no sender domain", "api_key s3cret", template, "auth off", "sender_domain is missing"},
		{
			"malformed sender domain", "api_key s3cret\nsender_domain https://example.com", template, "auth off",
			`sender_domain: "https://example.com" is not a domain`,
		},
		{"no key", "sender_domain example.com", template, "auth off", "api_key is missing"},
		{
			"unset key", "api_key {env.NOT_SET}\nsender_domain example.com", template, "auth off",
			"api_key: evaluated placeholder {env.NOT_SET} is empty",
		},
		{"empty key", "api_key {env.EMPTY}", template, "auth off", "api_key: evaluated placeholder {env.EMPTY} is empty"},
		{
			"unreadable key", "api_key {file./nowhere/key}", template, "auth off",
			"api_key: evaluated placeholder {file./nowhere/key} is empty",
		},
		{"empty key file", "api_key {file." + folder + "/empty}", template, "auth off", "is empty"},
		{
			"key with spaces", "api_key {file." + folder + "/spaced}\nsender_domain example.com", template, "auth off",
			"api_key: it is empty, or has a space",
		},
		{"unknown placeholder", "api_key {envv.KEY}", template, "auth off", "api_key: unrecognized placeholder {envv.KEY}"},
		{
			"unset secret", app, template, "auth header X-Key {env.NOT_SET}",
			"auth header: evaluated placeholder {env.NOT_SET} is empty",
		},
		{
			"lone brace in a secret", app, template, `auth header X-Key "{env.KEY} s3cret}"`,
			`auth: argument 3: the "}" at character 17 has no "{"`,
		},
		{
			"lone brace in a key", `api_key s3cret{x`, template, "auth off",
			`api_key: argument 1: the "{" at character 7 has no "}"`,
		},
		{"lone brace in a path", app, filepath.Join(folder, "{t.jsonnet"), "auth off", `template: the "{" at character`},
		{"host header", app, template, "auth header Host s3cret", "auth header: the Host header is no secret"},
		{"header name", app, template, "auth header X:Key s3cret", "auth header: "},
		{"basic user", app, template, "auth basic a:b s3cret", "auth basic: the user"},
		{"secret with a space at its end", app, template, "auth header X-Key 's3cret '", ""},
		{"api_base", app + "\napi_base mandrillapp.com", template, "auth off", "api_base: it must be a URL"},
		{
			"from of another domain", app, template, "auth off\nfrom a@example.net",
			"from: its domain example.net is not one of sender_domain",
		},
		{
			"two keys for a domain", app, template, "auth off\napi_key other\nsender_domain EXAMPLE.com",
			"sender_domain example.com has two different api_keys",
		},
		{"the same key twice", app, template, "auth off\napi_key {env.KEY}\nsender_domain example.com", ""},
		{"matcher that is a template", app, "/etc/t.jsonnet", "auth off", "is a path matcher here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			first := test.first
			if filepath.IsAbs(first) && test.name != "matcher that is a template" {
				first = "* " + first
			}
			err := validate(t,
				fmt.Sprintf("{\nadmin off\nauto_https off\nmailchimp {\n%s\n}\n}\nhttp://127.0.0.1:1 {\nmailchimp_hook %s "+
					"{\n%s\n}\n}\n", test.app, first, test.hook))
			if test.name == "secret with a space at its end" {
				test.want = "'" // Caddyfiles have no single quotes: the parser sees two words
			}
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("got %v", err)
			case err != nil && strings.Contains(err.Error(), "s3cret"):
				t.Errorf("the error has a secret: %v", err)
			}
		})
	}
}

// TestJSONErrors has what no Caddyfile can say.
func TestJSONErrors(t *testing.T) {
	template := filepath.Join(t.TempDir(), "t.jsonnet")
	if err := os.WriteFile(template, []byte(edgetest.Minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	const off = `"auth":[{"type":"off"}]`
	for _, test := range []struct{ name, hook, want string }{
		{"good", off, ""},
		{"auth type", `"auth":[{"type":"bearer","name":"a","value":"b"}]`, `auth: the type "bearer" is none of`},
		{"auth without a value", `"auth":[{"type":"header","name":"a"}]`, "auth header is empty"},
		{"off and more", `"auth":[{"type":"off"},{"type":"header","name":"a","value":"b"}]`, "auth: off contradicts"},
		{"delivery", off + `,"delivery":"later"`, `delivery: "later" is neither`},
		{
			"lone brace", `"auth":[{"type":"header","name":"a","value":"s3cret}"}]`,
			`auth header: the "}" at character 7 has no "{"`,
		},
		{"lone brace in a second value", off + `,"imports":["a","{b"]`, `imports: value 2: the "{" at character 1 has`},
		{"negative timeout", off + `,"timeout":-1`, "timeout must be more than 0"},
		{"negative size", off + `,"max_body":-1`, "max_body must be more than 0"},
		{"from without an address", off + `,"from":{"name":"A"}`, "from is empty"},
		{"unknown field", off + `,"templat":"x"`, `unknown field "templat"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var config caddy.Config
			if err := json.Unmarshal([]byte(`{"admin":{"disabled":true},"apps":{
				"mailchimp":{"api_key":"k","sender_domains":["example.com"]},
				"http":{"servers":{"s":{"listen":["127.0.0.1:1"],"routes":[{"handle":[
					{"handler":"mailchimp_hook","template":"`+template+`",`+test.hook+`}
				]}]}}}
			}}`), &config); err != nil {
				t.Fatal(err)
			}
			err := caddy.Validate(&config)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
