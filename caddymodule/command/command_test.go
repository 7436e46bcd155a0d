package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func execute(t *testing.T, cmd *cobra.Command, args ...string) (output, errors string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestRenderCommand(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"t.jsonnet":       "function(ctx) {\n message: { from_email: 'a@example.com', to: [{ email: ctx.email }], html: '<b>', text: 'plain' } }",
		"html.jsonnet":    `function(ctx) { message: { from_email: 'a@example.com', to: [{ email: ctx.email }], html: '<b>' } }`,
		"bare.jsonnet":    `function(ctx) { message: { to: [{ email: ctx.email }] } }`,
		"key.jsonnet":     `function(ctx) { key: 'k', message: { from_email: 'a@example.com', to: [{ email: ctx.email }] } }`,
		"broken.jsonnet":  "function(ctx) {\n  a: ctx.\n}",
		"runtime.jsonnet": "function(ctx) {\n  a: error 'bad ' + ctx.email }",
		"unknown.jsonnet": `function(ctx) { message: { from_email: 'a@example.com', to: [{ emial: ctx.email }] } }`,
		"emial.jsonnet":   `function(ctx) { emial_address: ctx.email, status_if_new: 'subscribed' }`,
		"cancel.jsonnet":  `function(ctx) error 'cancel'`,
		"shared.jsonnet":  `function(ctx) import 'shared.libsonnet'`,
		"change.jsonnet":  `function(ctx) { email_address: ctx.email, tags: ['new'] }`,
		"status.jsonnet":  "function(ctx) {\n  email_address: ctx.email,\n  status: 'subscribed' }",
		"ctx.json":        `{"email":"ada@example.net"}`,
		"array.json":      `[]`,
		"broken.json":     "{\n\"email\":\n}",
	})
	shared := writeFiles(t, map[string]string{"shared.libsonnet": `{ message: { from_email: 'a@example.com', to: [{ email: 'shared@example.net' }] } }`})
	t.Chdir(folder)
	for _, test := range []struct {
		name   string
		args   []string
		output string
		errors string
		fails  bool
	}{
		{"JSON", []string{"-t", "t.jsonnet", "-c", "ctx.json"}, "{\n  \"message\": {\n    \"from_email\": \"a@example.com\",", "", false},
		{"HTML", []string{"--template", "t.jsonnet", "--ctx", "ctx.json", "--html"}, "<b>", "", false},
		{"text", []string{"--template", "t.jsonnet", "--ctx", "ctx.json", "--text"}, "plain", "", false},
		{"imports", []string{"-t", "shared.jsonnet", "-c", "ctx.json", "--imports", shared}, "shared@example.net", "", false},
		{"from", []string{"-t", "bare.jsonnet", "-c", "ctx.json", "--from", "hi@example.com"}, `"from_email": "hi@example.com"`, "", false},
		{"key", []string{"-t", "key.jsonnet", "-c", "ctx.json"}, "ada@example.net", "names a key, which is ignored", false},
		{"no text", []string{"-t", "html.jsonnet", "-c", "ctx.json", "--text"}, "", "html.jsonnet: the message has no text part", true},
		{"no sender", []string{"-t", "bare.jsonnet", "-c", "ctx.json"}, "", "bare.jsonnet:1:1: message.from_email: is missing", true},
		{"other domain", []string{"-t", "t.jsonnet", "-c", "ctx.json", "--sender-domain", "example.org"}, "", "its domain example.com is not one of sender_domain", true},
		{"syntax", []string{"-t", "broken.jsonnet", "-c", "ctx.json"}, "", "broken.jsonnet:3:1: ", true},
		{"runtime", []string{"-t", "runtime.jsonnet", "-c", "ctx.json"}, "", "runtime.jsonnet:2:6: bad ada@example.net", true},
		{"misspelt", []string{"-t", "unknown.jsonnet", "-c", "ctx.json"}, "", `unknown.jsonnet:1:64: message.to[0].emial: unknown field, did you mean "email"?`, true},
		{"cancelled", []string{"-t", "cancel.jsonnet", "-c", "ctx.json"}, "", "cancel.jsonnet cancelled", true},
		{"ctx is an array", []string{"-t", "t.jsonnet", "-c", "array.json"}, "", "array.json:1: ", true},
		{"ctx is broken", []string{"-t", "t.jsonnet", "-c", "broken.json"}, "", "broken.json:3: ", true},
		{"no ctx", []string{"-t", "t.jsonnet"}, "", `required flag(s) "ctx" not set`, true},
		{"no such template", []string{"-t", "x.jsonnet", "-c", "ctx.json"}, "", "x.jsonnet: no such file", true},
		{"audience", []string{"-t", "change.jsonnet", "-c", "ctx.json", "--audience"}, `"email_address": "ada@example.net"`, "", false},
		{"audience without its flag", []string{"-t", "change.jsonnet", "-c", "ctx.json"}, "", "change.jsonnet is a template of mailchimp_audience: give --audience", true},
		{"audience misspelt, without its flag", []string{"-t", "emial.jsonnet", "-c", "ctx.json"}, "", "give --audience", true},
		{"audience misspelt", []string{"-t", "emial.jsonnet", "-c", "ctx.json", "--audience"}, "", `emial.jsonnet:1:17: emial_address: unknown field, did you mean "email_address"?`, true},
		{"audience's status", []string{"-t", "status.jsonnet", "-c", "ctx.json", "--audience"}, "", "status.jsonnet:3:3: status: would subscribe", true},
		{"audience cancelled", []string{"-t", "cancel.jsonnet", "-c", "ctx.json", "--audience"}, "", "cancel.jsonnet cancelled", true},
		{"audience and HTML", []string{"-t", "change.jsonnet", "-c", "ctx.json", "--audience", "--html"}, "", "html", true},
		{"HTML and text", []string{"-t", "t.jsonnet", "-c", "ctx.json", "--html", "--text"}, "", "html", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, errors, err := execute(t, renderCommand(), test.args...)
			if (err != nil) != test.fails || !strings.Contains(output, test.output) || !strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}

// TestHelpKnowsAudiences: an operator learns from the help how the sender of an audience's entries is called.
func TestHelpKnowsAudiences(t *testing.T) {
	for _, test := range []struct {
		command func() *cobra.Command
		args    []string
		want    string
	}{
		{statusCommand, nil, "list:<id>"},
		{outboxCommand, []string{"list"}, "list:<id>"},
		{outboxCommand, []string{"retry"}, "list:<id>"},
		{outboxCommand, []string{"pause"}, "list:<id>"},
		{outboxCommand, []string{"resume"}, "list:<id>"},
		{outboxCommand, []string{"show"}, "the change of an audience"},
	} {
		if output, _, err := execute(t, test.command(), append(test.args, "--help")...); err != nil || !strings.Contains(output, test.want) {
			t.Errorf("%v lacks %q: %s, %v", test.args, test.want, output, err)
		}
	}
}

func TestCheckDomainCommand(t *testing.T) {
	server := httptest.NewServer(sandbox.New())
	defer server.Close()
	base := server.URL + "/api/1.0"
	folder := writeFiles(t, map[string]string{
		"key": "valid\n", "invalid": "invalid-key",
		"Caddyfile": "{\nmailchimp {\napi_key {env.APP_KEY}\napi_base " + base + "\n}\n}\n:80 {\nmailchimp_hook x {\napi_key invalid-key\nsender_domain {env.OTHER_DOMAIN}\n}\n}\n",
	})
	t.Chdir(folder)
	t.Setenv("APP_KEY", "valid")
	t.Setenv("OTHER_DOMAIN", "Other.example")
	for _, test := range []struct {
		name   string
		args   []string
		env    string
		output string
		errors string
		fails  bool
	}{
		{"not there", []string{"Example.com", "--key-file", "key", "--api-base", base}, "", "", "run the command again with --add", true},
		{"added", []string{"example.com", "--key-file", "key", "--api-base", base, "--add"}, "", "Mandrill sends for example.com.", "", false},
		{"unverified", []string{"new.invalid", "--key-file", "key", "--api-base", base, "--add"}, "", "include:spf.mandrillapp.com", "unsigned", true},
		{"environment", []string{"example.com", "--api-base", base, "--add"}, "valid", "verification  ok", "", false},
		{"configuration", []string{"example.com", "--config", "Caddyfile", "--add"}, "", "SPF           ok", "", false},
		{"key of a hook", []string{"other.example", "--config", "Caddyfile", "--add"}, "", "", "Invalid_Key: check api_key", true},
		{"invalid key", []string{"example.com", "--key-file", "invalid", "--api-base", base}, "", "", "It is a key of Mandrill", true},
		{"no key", []string{"example.com"}, "", "", "set MANDRILL_API_KEY", true},
		{"no domain", nil, "valid", "", "accepts 1 arg", true},
		{"not a domain", []string{"https://example.com"}, "valid", "", "is not a domain", true},
		{"not an API", []string{"example.com", "--api-base", server.URL + "/nowhere"}, "valid", "", "check api_base", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("MANDRILL_API_KEY", test.env)
			output, errors, err := execute(t, checkDomainCommand(), test.args...)
			if (err != nil) != test.fails || !strings.Contains(output, test.output) || !strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}

func TestCheckAudienceCommand(t *testing.T) {
	server := httptest.NewServer(members.New())
	defer server.Close()
	base := server.URL + "/3.0"
	folder := writeFiles(t, map[string]string{
		"key": "valid\n", "invalid": "invalid-us1",
		"Caddyfile": ":80 {\nmailchimp_audience /a x {\napi_key invalid-us1\nlist other\napi_base " + base + "\nauth off\n}\nmailchimp_audience /b x {\napi_key {env.NEWS_KEY}\nlist {env.LIST}\napi_base " + base + "\nauth off\n}\n}\n",
	})
	t.Chdir(folder)
	t.Setenv("NEWS_KEY", "valid")
	t.Setenv("LIST", "l1")
	for _, test := range []struct {
		name   string
		args   []string
		env    string
		output string
		errors string
	}{
		{"key file", []string{"l1", "--key-file", "key", "--api-base", base}, "", `has the audience l1: "Sandbox", 0 subscribed.`, ""},
		{"environment", []string{"l1", "--api-base", base}, "valid", "Mailchimp takes the key", ""},
		{"configuration", []string{"l1", "--config", "Caddyfile"}, "", "Mailchimp takes the key", ""},
		{"invalid key", []string{"l1", "--key-file", "invalid", "--api-base", base}, "", "", "asking Mailchimp about the audience l1: calling Mailchimp: account: status 401: API Key Invalid: check api_key: "},
		{"invalid key in the configuration", []string{"other", "--config", "Caddyfile"}, "", "", "check api_key: "},
		{"not in the configuration", []string{"l2", "--config", "Caddyfile"}, "", "", "the configuration has no mailchimp_audience with list l2"},
		{"unknown audience", []string{"unknown1", "--api-base", base}, "valid", "", "check list: the account has no such audience"},
		{"no id", []string{"a/b", "--api-base", base}, "valid", "", `"a/b" is no id of an audience`},
		{"no key", []string{"l1"}, "", "", "set MAILCHIMP_API_KEY"},
		{"a key of Mandrill", []string{"l1"}, "md-abc", "", "not of Mandrill"},
		{"not an API", []string{"l1", "--api-base", server.URL + "/nowhere"}, "valid", "", "asking Mailchimp"},
		{"no list", nil, "valid", "", "accepts 1 arg"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("MAILCHIMP_API_KEY", test.env)
			output, errors, err := execute(t, checkAudienceCommand(), test.args...)
			if (err != nil) != (test.output == "") || !strings.Contains(output, test.output) || !strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}

func TestPreviewCommand(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"t.jsonnet":  `function(ctx) { key: 'k', message: { from_email: 'a@example.com', to: [{ email: ctx.email }], subject: 'Hi', text: 'Hi' } }`,
		"t.ctx.json": `{"email":"ada@example.net"}`,
		"a.jsonnet":  `function(ctx) { email_address: ctx.email, status_if_new: 'subscribed' }`,
	})
	for _, args := range [][]string{{filepath.Join(folder, "none")}, {filepath.Join(folder, "t.jsonnet")}, {folder, folder}, {folder, "--port", "99999"}} {
		if _, errors, err := execute(t, previewCommand(), args...); err == nil || errors == "" {
			t.Errorf("%q: %v, %q", args, err, errors)
		}
	}
	cmd := previewCommand()
	output, printed := io.Pipe()
	cmd.SetOut(printed)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{folder, "--port", "0", "--sender-domain", "example.com"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), " are at ")
	answer, err := http.Post(address+"draw", "application/json", strings.NewReader(`{"template":"t.jsonnet","ctx":"{\"email\":\"ada@example.net\"}"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), `"recipients":["ada@example.net"]`) || !strings.Contains(string(body), "names a key, which is ignored") {
		t.Errorf("drawn is %s, %v", body, err)
	}
	for ctx, want := range map[string]string{
		`{"email":"ada@example.net"}`: `{"change":{"email_address":"ada@example.net","status_if_new":"subscribed"}}`,
		`{"email":"ada"}`:             `"line":1,"column":0,"field":"email_address","message":"email_address: must be an e-mail address`,
	} {
		asked, err := json.Marshal(map[string]string{"template": "a.jsonnet", "ctx": ctx})
		if err != nil {
			t.Fatal(err)
		}
		answer, err = http.Post(address+"draw", "application/json", bytes.NewReader(asked))
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("an audience's template for %s is %s, %v", ctx, body, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
