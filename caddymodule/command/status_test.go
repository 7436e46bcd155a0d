package command

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestStatusCommand(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
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
	expect(statusCommand(), false, nil, "Mail is being delivered.\n", "Outbox: sqlite\n",
		"example.com  0        sends", "in force")
	expect(statusCommand(), false, []string{"--json"}, `"flows": true`)
	expect(sendTestCommand(), false, []string{"ada@example.org"}, "Mandrill accepted the mail from test@example.com: sent")
	expect(sendTestCommand(), true, []string{"reject@test.mandrillapp.com", "--from", "me@example.com"},
		"did not accept the mail from me@example.com: rejected: custom: ")
	expect(sendTestCommand(), true, []string{"ada@example.org", "--from", "me@example.org"}, "sender_domain")
	if err := e.Sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	expect(sendTestCommand(), true, []string{"ada@example.org", "--json"}, `"sent": false`, "check the account's plan")
	id := e.Post(edgetest.Ada).Entry()
	e.WaitForLog("sender is held")
	e.Write("t.jsonnet", "function(ctx) {")
	e.WaitForLog("template is broken")
	expect(statusCommand(), true, nil, "Mail is not being delivered.\n", "- example.com is held since", "PaymentRequired",
		"held for", "broken on disk", "Last error: ")
	if got := e.Metric(`caddy_mailchimp_sender_held{reason="hold",sender="example.com"}`); got != "1" {
		t.Errorf("sender_held %q", got)
	}
	if got := e.Metric(`caddy_mailchimp_template_broken`); !strings.HasSuffix(got, " 1") {
		t.Errorf("template_broken %q", got)
	}
	e.Sandbox.Recover()
	e.WaitState(id, outbox.Sent)
	expect(statusCommand(), false, nil, "Mail is being delivered.\n", "sent        1  ")
	_, err := run(outboxCommand(), "pause", "example.com")
	if err != nil {
		t.Fatal(err)
	}
	expect(statusCommand(), true, nil, "- example.com is paused: caddy mailchimp outbox resume example.com")
	if _, err := run(outboxCommand(), "resume", "example.com"); err != nil {
		t.Fatal(err)
	}
	address = "127.0.0.1:1"
	expect(statusCommand(), true, nil, "asking the running Caddy: ")
}

// TestStatusOfNoDatabase does not show numbers that nobody knows.
func TestStatusOfNoDatabase(t *testing.T) {
	var output bytes.Buffer
	cmd := new(cobra.Command)
	cmd.SetOut(&output)
	printStatus(cmd, admin.Status{
		Outbox: "postgres", Troubles: []string{"PostgreSQL refuses (SQLSTATE 42501): grant the role"},
	})
	if got := output.String(); strings.Contains(got, "unrendered") || !strings.Contains(got, "is unknown") ||
		!strings.Contains(got, "- PostgreSQL refuses (SQLSTATE 42501)") {
		t.Error(got)
	}
}

// TestHeadline says of mails and of audiences what is so.
func TestHeadline(t *testing.T) {
	const domain, list = "example.com", "list:l1"
	for _, test := range []struct {
		senders, stopped []string
		want             string
	}{
		{[]string{domain}, nil, "Mail is being delivered."},
		{[]string{list}, nil, "Changes of audiences are being delivered."},
		{[]string{domain, list}, nil, "Mail and changes of audiences are being delivered."},
		{nil, nil, "Mail is being delivered."},
		{[]string{domain}, []string{domain}, "Mail is not being delivered."},
		{[]string{list}, []string{list}, "Changes of audiences are not being delivered."},
		{[]string{domain, list}, []string{list}, "Changes of audiences are not being delivered. Mail is."},
		{[]string{domain, list}, []string{"example.org"}, "Mail is not being delivered. Changes of audiences are."},
		{[]string{domain}, []string{"list:other"}, "Changes of audiences are not being delivered. Mail is."},
		{[]string{domain, list}, []string{domain, list}, "Neither mail nor changes of audiences are being delivered."},
		{nil, []string{}, "Mail is not being delivered."},
	} {
		flows := test.stopped == nil
		got, broken := headline(admin.Status{Flows: flows, Senders: test.senders, Stopped: test.stopped})
		if got != test.want || (broken == nil) != flows {
			t.Errorf("%v, stopped %v: %q, %v", test.senders, test.stopped, got, broken)
		}
	}
}
