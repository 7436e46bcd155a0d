package command

import (
	"net/http/httptest"
	"strings"
	"testing"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestCheckDomainCommand is a table of keys, their sources and domains.
func TestCheckDomainCommand(t *testing.T) {
	server := httptest.NewServer(sandbox.New())
	defer server.Close()
	base := server.URL + "/api/1.0"
	folder := writeFiles(t, map[string]string{
		"key": "valid\n", "invalid": "invalid-key",
		"Caddyfile": "{\nmailchimp {\napi_key {env.APP_KEY}\napi_base " + base +
			"\n}\n}\n:80 {\nmailchimp_hook x {\napi_key invalid-key\nsender_domain {env.OTHER_DOMAIN}\n}\n}\n",
	})
	t.Chdir(folder)
	t.Setenv("APP_KEY", "valid")
	t.Setenv("OTHER_DOMAIN", "Other.example")
	for _, test := range []struct {
		name   string
		args   string
		env    string
		output string
		errors string
		fails  bool
	}{
		{"not there", "Example.com --key-file key --api-base " + base, "", "", "run the command again with --add", true},
		{
			"added", "example.com --key-file key --api-base " + base + " --add", "", "Mandrill sends for example.com.", "",
			false,
		},
		{
			"unverified", "new.invalid --key-file key --api-base " + base + " --add", "",
			"mte2._domainkey.new.invalid. CNAME dkim2.mandrillapp.com.", "unsigned", true,
		},
		{"environment", "example.com --api-base " + base + " --add", "valid", "verification  ok", "", false},
		{"configuration", "example.com --config Caddyfile --add", "", "DMARC         ok", "", false},
		{
			"key of a hook", "other.example --config Caddyfile --add", "", "", "Invalid_Key: check api_key", true,
		},
		{"invalid key", "example.com --key-file invalid --api-base " + base, "", "", "It is a key of Mandrill", true},
		{"no key", "example.com", "", "", "set MANDRILL_API_KEY", true},
		{"no domain", "", "valid", "", "accepts 1 arg", true},
		{"not a domain", "https://example.com", "valid", "", "is not a domain", true},
		{"not an API", "example.com --api-base " + server.URL + "/nowhere", "valid", "", "check api_base", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("MANDRILL_API_KEY", test.env)
			output, errors, err := execute(t, checkDomainCommand(), strings.Fields(test.args)...)
			if (err != nil) != test.fails || !strings.Contains(output, test.output) || !strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}

// TestCheckAudienceCommand is a table of keys, their sources and audiences.
func TestCheckAudienceCommand(t *testing.T) {
	server := httptest.NewServer(members.New())
	defer server.Close()
	base := server.URL + "/3.0"
	folder := writeFiles(t, map[string]string{
		"key": "valid\n", "invalid": "invalid-us1",
		"Caddyfile": ":80 {\nmailchimp_audience /a x {\napi_key invalid-us1\nlist other\napi_base " + base +
			"\nauth off\n}\nmailchimp_audience /b x {\napi_key {env.NEWS_KEY}\nlist {env.LIST}\napi_base " + base +
			"\nauth off\n}\n}\n",
	})
	t.Chdir(folder)
	t.Setenv("NEWS_KEY", "valid")
	t.Setenv("LIST", "l1")
	for _, test := range []struct {
		name   string
		args   string
		env    string
		output string
		errors string
	}{
		{"key file", "l1 --key-file key --api-base " + base, "", `has the audience l1: "Sandbox", 0 subscribed.`, ""},
		{"environment", "l1 --api-base " + base, "valid", "Mailchimp accepts the key", ""},
		{"configuration", "l1 --config Caddyfile", "", "Mailchimp accepts the key", ""},
		{
			"invalid key", "l1 --key-file invalid --api-base " + base, "", "",
			"asking Mailchimp about the audience l1: calling Mailchimp: account: status 401: API Key Invalid: check api_key: ",
		},
		{"invalid key in the configuration", "other --config Caddyfile", "", "", "check api_key: "},
		{
			"not in the configuration", "l2 --config Caddyfile", "", "",
			"the configuration has no mailchimp_audience with list l2",
		},
		{"unknown audience", "unknown1 --api-base " + base, "valid", "", "check list: the account has no such audience"},
		{"no id", "a/b --api-base " + base, "valid", "", `"a/b" is no id of an audience`},
		{"no key", "l1", "", "", "set MAILCHIMP_API_KEY"},
		{"a key of Mandrill", "l1", "md-abc", "", "not of Mandrill"},
		{"not an API", "l1 --api-base " + server.URL + "/nowhere", "valid", "", "asking Mailchimp"},
		{"no list", "", "valid", "", "accepts 1 arg"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("MAILCHIMP_API_KEY", test.env)
			output, errors, err := execute(t, checkAudienceCommand(), strings.Fields(test.args)...)
			if (err != nil) != (test.output == "") || !strings.Contains(output, test.output) ||
				!strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}
