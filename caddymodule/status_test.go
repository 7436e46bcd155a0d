package caddymodule_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestStatusCommand(t *testing.T) {
	e, address := newEdgeWithAdmin(t, minimal)
	run := func(cmd *cobra.Command, args ...string) (string, error) {
		var output bytes.Buffer
		cmd.SetOut(&output)
		cmd.SetErr(&output)
		cmd.SetArgs(append(args, "--address", address))
		err := cmd.ExecuteContext(t.Context())
		return output.String(), err
	}
	expect := func(cmd *cobra.Command, fails bool, args []string, wants ...string) {
		t.Helper()
		output, err := run(cmd, args...)
		for _, want := range wants {
			if (err != nil) != fails || !strings.Contains(output, want) {
				t.Errorf("%v lacks %q: %s, %v", args, want, output, err)
			}
		}
	}
	expect(caddymodule.StatusCommand(), false, nil, "Mail flows.\n", "Outbox: sqlite\n", "example.com  0        sends", "in force")
	expect(caddymodule.StatusCommand(), false, []string{"--json"}, `"flows": true`)
	expect(caddymodule.SendTestCommand(), false, []string{"ada@example.org"}, "Mandrill took the mail from test@example.com: sent")
	expect(caddymodule.SendTestCommand(), true, []string{"reject@test.mandrillapp.com", "--from", "me@example.com"}, "didn't take the mail from me@example.com: rejected: custom: ")
	expect(caddymodule.SendTestCommand(), true, []string{"ada@example.org", "--from", "me@example.org"}, "sender_domain")
	if err := e.sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	expect(caddymodule.SendTestCommand(), true, []string{"ada@example.org", "--json"}, `"sent": false`, "check the account's plan")
	id := e.post(ada).header.Get("Outbox-Entry")
	e.waitForLog("sender is held")
	e.write("t.jsonnet", "function(ctx) {")
	e.waitForLog("template is broken")
	expect(caddymodule.StatusCommand(), true, nil, "MAIL DOESN'T FLOW.\n", "- example.com is held since", "PaymentRequired", "held for", "broken on disk", "Last error: ")
	if got := e.metric(`caddy_mailchimp_sender_held{reason="hold",sender="example.com"}`); got != "1" {
		t.Errorf("sender_held %q", got)
	}
	if got := e.metric(`caddy_mailchimp_template_broken`); !strings.HasSuffix(got, " 1") {
		t.Errorf("template_broken %q", got)
	}
	e.sandbox.Recover()
	e.waitState(id, outbox.Sent)
	expect(caddymodule.StatusCommand(), false, nil, "Mail flows.\n", "sent        1  ")
	_, err := run(caddymodule.OutboxCommand(), "pause", "example.com")
	if err != nil {
		t.Fatal(err)
	}
	expect(caddymodule.StatusCommand(), true, nil, "- example.com is paused: caddy mailchimp outbox resume example.com")
	if _, err := run(caddymodule.OutboxCommand(), "resume", "example.com"); err != nil {
		t.Fatal(err)
	}
	address = "127.0.0.1:1"
	expect(caddymodule.StatusCommand(), true, nil, "asking the running Caddy: ")
}

// TestHeadline says of mails and of audiences what is so.
func TestHeadline(t *testing.T) {
	const domain, list = "example.com", "list:l1"
	for _, test := range []struct {
		senders, stopped []string
		want             string
	}{
		{[]string{domain}, nil, "Mail flows."},
		{[]string{list}, nil, "Changes of audiences flow."},
		{[]string{domain, list}, nil, "Mail flows, and so do changes of audiences."},
		{nil, nil, "Mail flows."},
		{[]string{domain}, []string{domain}, "MAIL DOESN'T FLOW."},
		{[]string{list}, []string{list}, "CHANGES OF AUDIENCES DON'T FLOW."},
		{[]string{domain, list}, []string{list}, "CHANGES OF AUDIENCES DON'T FLOW, mail does."},
		{[]string{domain, list}, []string{"example.org"}, "MAIL DOESN'T FLOW, changes of audiences do."},
		{[]string{domain}, []string{"list:other"}, "CHANGES OF AUDIENCES DON'T FLOW, mail does."},
		{[]string{domain, list}, []string{domain, list}, "NEITHER MAIL NOR CHANGES OF AUDIENCES FLOW."},
		{nil, []string{}, "MAIL DOESN'T FLOW."},
	} {
		flows := test.stopped == nil
		got, broken := caddymodule.Headline(flows, test.senders, test.stopped)
		if got != test.want || (broken == nil) != flows {
			t.Errorf("%v, stopped %v: %q, %v", test.senders, test.stopped, got, broken)
		}
	}
}

// TestMetricsSurviveReloads counts on over a reload, and has the outbox's gauges after some seconds.
func TestMetricsSurviveReloads(t *testing.T) {
	e := newEdgeWith(t, minimal, "", "")
	before := e.number(`caddy_mailchimp_attempts_total{outcome="sent"}`)
	e.waitState(e.post(ada).header.Get("Outbox-Entry"), outbox.Sent)
	if err := e.load(e.caddyfile("timeout 9s")); err != nil {
		t.Fatal(err)
	}
	e.waitState(e.post(strings.Replace(ada, "f1", "f2", 1)).header.Get("Outbox-Entry"), outbox.Sent)
	if got := e.number(`caddy_mailchimp_attempts_total{outcome="sent"}`) - before; got != 2 {
		t.Errorf("%v attempts", got)
	}
	if got := e.metric("caddy_mailchimp_ready"); got != "1" {
		t.Errorf("ready is %q", got)
	}
	if _, err := caddymodule.LiveOutbox().Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.metric(`caddy_mailchimp_outbox_entries{state="sent"}`); got != "2" {
		t.Errorf("%q entries are sent", got)
	}
	if got := e.metric(`caddy_mailchimp_outbox_oldest_seconds{state="sent"}`); got == "" || got == "0" {
		t.Errorf("the oldest is %q old", got)
	}
}
