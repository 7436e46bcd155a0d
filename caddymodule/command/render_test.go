package command

import (
	"strings"
	"testing"
)

// TestRenderCommand is a table of templates, flags and errors with their places.
func TestRenderCommand(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"t.jsonnet": `function(ctx) {
			message: { from_email: 'a@example.com', to: [{ email: ctx.email }], html: '<b>', text: 'plain' } }`,
		"html.jsonnet": `function(ctx) {
			message: { from_email: 'a@example.com', to: [{ email: ctx.email }], html: '<b>' } }`,
		"bare.jsonnet": `function(ctx) { message: { to: [{ email: ctx.email }] } }`,
		"key.jsonnet":  `function(ctx) { key: 'k', message: { from_email: 'a@example.com', to: [{ email: ctx.email }] } }`,
		"room.jsonnet": `function(ctx) { message: { from_email: 'a@example.com', to: [{ email: ctx.email }],
			metadata: { long: std.repeat('x', 178) } } }`,
		"long.jsonnet": `function(ctx) { message: { from_email: 'a@example.com', to: [{ email: ctx.email }],
			metadata: { long: std.repeat('x', 179) } } }`,
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
	shared := writeFiles(t, map[string]string{
		"shared.libsonnet": `{ message: { from_email: 'a@example.com', to: [{ email: 'shared@example.net' }] } }`,
	})
	t.Chdir(folder)
	for _, test := range []struct {
		name   string
		args   string
		output string
		errors string
		fails  bool
	}{
		{"JSON", "-t t.jsonnet -c ctx.json", "{\n  \"message\": {\n    \"from_email\": \"a@example.com\",", "", false},
		{"HTML", "--template t.jsonnet --ctx ctx.json --html", "<b>", "", false},
		{"text", "--template t.jsonnet --ctx ctx.json --text", "plain", "", false},
		{"imports", "-t shared.jsonnet -c ctx.json --imports " + shared, "shared@example.net", "", false},
		{"from", "-t bare.jsonnet -c ctx.json --from hi@example.com", `"from_email": "hi@example.com"`, "", false},
		{"key", "-t key.jsonnet -c ctx.json", "ada@example.net", "names a key, which is ignored", false},
		{"room", "-t room.jsonnet -c ctx.json", "ada@example.net", "", false},
		{"no room", "-t long.jsonnet -c ctx.json", "ada@example.net", "long.jsonnet: message.metadata leaves no room", false},
		{"no text", "-t html.jsonnet -c ctx.json --text", "", "html.jsonnet: the message has no text part", true},
		{"no sender", "-t bare.jsonnet -c ctx.json", "", "bare.jsonnet:1:1: message.from_email: is missing", true},
		{
			"other domain", "-t t.jsonnet -c ctx.json --sender-domain example.org", "",
			"its domain example.com is not one of sender_domain", true,
		},
		{"syntax", "-t broken.jsonnet -c ctx.json", "", "broken.jsonnet:3:1: ", true},
		{"runtime", "-t runtime.jsonnet -c ctx.json", "", "runtime.jsonnet:2:6: bad ada@example.net", true},
		{
			"misspelt", "-t unknown.jsonnet -c ctx.json", "",
			`unknown.jsonnet:1:64: message.to[0].emial: unknown field, did you mean "email"?`, true,
		},
		{"cancelled", "-t cancel.jsonnet -c ctx.json", "", "cancel.jsonnet cancelled", true},
		{"ctx is an array", "-t t.jsonnet -c array.json", "", "array.json:1: ", true},
		{"ctx is broken", "-t t.jsonnet -c broken.json", "", "broken.json:3: ", true},
		{"no ctx", "-t t.jsonnet", "", `required flag(s) "ctx" not set`, true},
		{"no such template", "-t x.jsonnet -c ctx.json", "", "x.jsonnet: no such file", true},
		{"audience", "-t change.jsonnet -c ctx.json --audience", `"email_address": "ada@example.net"`, "", false},
		{
			"audience without its flag", "-t change.jsonnet -c ctx.json", "",
			"change.jsonnet is a template of mailchimp_audience: give --audience", true,
		},
		{"audience misspelt, without its flag", "-t emial.jsonnet -c ctx.json", "", "give --audience", true},
		{
			"audience misspelt", "-t emial.jsonnet -c ctx.json --audience", "",
			`emial.jsonnet:1:17: emial_address: unknown field, did you mean "email_address"?`, true,
		},
		{
			"audience's status", "-t status.jsonnet -c ctx.json --audience", "", "status.jsonnet:3:3: status: would subscribe",
			true,
		},
		{"audience cancelled", "-t cancel.jsonnet -c ctx.json --audience", "", "cancel.jsonnet cancelled", true},
		{"audience and HTML", "-t change.jsonnet -c ctx.json --audience --html", "", "html", true},
		{"HTML and text", "-t t.jsonnet -c ctx.json --html --text", "", "html", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, errors, err := execute(t, renderCommand(), strings.Fields(test.args)...)
			if (err != nil) != test.fails || !strings.Contains(output, test.output) || !strings.Contains(errors, test.errors) {
				t.Errorf("output %q, errors %q, %v", output, errors, err)
			}
		})
	}
}
