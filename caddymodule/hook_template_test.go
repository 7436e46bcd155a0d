package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func TestHookWarnsOfAKeyOnce(t *testing.T) {
	e := edgetest.New(t, `function(ctx) {
		key: 'template-key',
		message: { from_email: 'hello@example.com', to: [{ email: 'ada@example.net' }] },
	}`, "")
	for i := range 3 {
		e.Post(fmt.Sprintf(`{"a":%d}`, i))
	}
	if n := strings.Count(e.Logs(), "the template names a key"); n != 1 {
		t.Errorf("warned %d times", n)
	}
	if mails := e.Sandbox.Mails(); len(mails) != 3 {
		t.Errorf("%d mails", len(mails))
	}
	if strings.Contains(e.Logs(), "template-key") {
		t.Error("the key is in the log")
	}
}

func TestHookRecursionAndLoops(t *testing.T) {
	for name, template := range map[string]string{
		"recursion": `local f(x) = f(x) + 1; function(ctx) { a: f(1) }`,
		"loop":      `function(ctx) { a: std.foldl(function(a, b) a + b, std.range(1, 300000), 0) }`,
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.New(t, template, "render_timeout 20ms")
			if got := e.Post("{}"); got.Status != 422 || got.ID() != ory.ErrTemplate.ID {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHookTakesUpAChangedTemplate(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	e.Write("t.jsonnet", strings.Replace(edgetest.Minimal, "'Hi'", "'Changed'", 1))
	e.WaitForLog(`"msg":"template changed"`)
	e.Post(edgetest.Ada)
	e.Write("t.jsonnet", `function(ctx) {`)
	e.WaitForLog("template is broken")
	e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1))
	mails := e.Sandbox.Mails()
	if len(mails) != 2 || mails[0].Message.Subject != "Changed" || mails[1].Message.Subject != "Changed" {
		t.Errorf("sent %+v", mails)
	}
	if got := e.Metric("caddy_mailchimp_template_reload_failures_total"); got == "" || got == "0" {
		t.Errorf("reload failures: %q", got)
	}
	// A reload with the broken template keeps the last good one in force.
	if err := e.Load(e.Caddyfile("delivery sync\ntimeout 9s")); err != nil {
		t.Fatal(err)
	}
	if got := e.Post(strings.Replace(edgetest.Ada, "f1", "f3", 1)); got.Status != 204 {
		t.Errorf("after a reload: %+v", got)
	}
}
