package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// withSubaccount sends through a sub-account if the flow names it.
const withSubaccount = `function(ctx) { message: {
	from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi',
	[if ctx.flow.id == 'paused' then 'subaccount']: 'newsletter',
} }`

// statusOf returns what `caddy mailchimp status` prints, and whether its exit status is 1.
func statusOf(t *testing.T, address string) (string, bool) {
	t.Helper()
	cmd := statusCommand()
	var output bytes.Buffer
	cmd.SetOut(&output)
	cmd.SetErr(&output)
	cmd.SetArgs([]string{"--address", address})
	err := cmd.ExecuteContext(t.Context())
	return output.String(), err != nil
}

// TestStatusOfRefusals says that mail is not being delivered if all of it is refused.
func TestStatusOfRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		failure sandbox.Failure
		state   outbox.State
		want    []string
	}{
		"rejected": {
			sandbox.Failure{Calls: 3, RejectReason: "spam"},
			outbox.Rejected,
			[]string{
				"- the last 3 answers for example.com were all refusals: rejected: spam",
				"rejected within the last hour: 3 entries of example.com: rejected: spam",
			},
		},
		"dead": {
			sandbox.Failure{Calls: 3, Status: 422, Name: "ValidationError"},
			outbox.Dead,
			[]string{"- the last 3 answers for example.com were all refusals", "ValidationError"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
			if err := e.Sandbox.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				e.WaitState(e.Post(strings.Replace(edgetest.Ada, "f1", fmt.Sprint(n), 1)).Entry(), test.state)
			}
			output, fails := statusOf(t, address)
			for _, want := range append(test.want, "Mail is not being delivered.\n") {
				if !fails || !strings.Contains(output, want) {
					t.Errorf("it lacks %q: %s", want, output)
				}
			}
			if got := e.Metric(`caddy_mailchimp_sender_refused{sender="example.com"}`); got != "1" {
				t.Errorf("sender_refused is %q", got)
			}
			e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
			if output, fails := statusOf(t, address); fails {
				t.Errorf("after a mail that was accepted: %s", output)
			}
		})
	}
}

// TestStatusOfHolds names what is held: a sub-account, or a sender domain.
func TestStatusOfHolds(t *testing.T) {
	for name, test := range map[string]struct {
		flow    string
		failure sandbox.Failure
		want    string
		scope   string
	}{
		"subaccount": {
			"paused",
			sandbox.Failure{Calls: 100, QueuedReason: "sending-paused"},
			"- sub-account newsletter of example.com is held since ", "subaccount",
		},
		"domain": {
			"f1",
			sandbox.Failure{Calls: 100, RejectReason: "unsigned"},
			"(the sender domain; first met by entry ", "domain",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, address := edgetest.NewWithAdmin(t, withSubaccount)
			if err := e.Sandbox.Fail(test.failure); err != nil {
				t.Fatal(err)
			}
			id := e.Post(strings.Replace(edgetest.Ada, "f1", test.flow, 1)).Entry()
			e.WaitForLog("sender is held")
			output, fails := statusOf(t, address)
			for _, want := range []string{test.want, "first met by entry " + id, "; next try at "} {
				if !fails || !strings.Contains(output, want) {
					t.Errorf("it lacks %q: %s", want, output)
				}
			}
			if got := e.Metric(`caddy_mailchimp_holds{scope="` + test.scope + `"}`); got != "1" {
				t.Errorf("holds %q", got)
			}
		})
	}
}

// TestStatusOfHooks says when hooks were called, and that a webhook is set up in a wrong way.
func TestStatusOfHooks(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	caddyfile := strings.Replace(e.Caddyfile(""), "admin off", "admin "+address, 1)
	caddyfile = strings.Replace(caddyfile, "\tmetrics /metrics\n",
		"\tmetrics /metrics\n\tmailchimp_events /mandrill {\n\t\turl https://hooks.example.com/mandrill\n\t\tkey k\n\t}\n"+
			"\tmailchimp_hook /hooks/other {\n\t\ttemplate "+e.Path("t.jsonnet")+
			"\n\t\tauth off\n\t\tsender_domain uncalled.example\n\t}\n", 1)
	if err := e.Load(caddyfile); err != nil {
		t.Fatal(err)
	}
	e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
	e.Call(e.Address, "POST", "/mandrill", "mandrill_events=[]")
	output, fails := statusOf(t, address)
	for _, want := range []string{
		"1      0s ago                  204     /hooks/welcome\n", "0      never since this start",
		"mailchimp_events refused ", "Events of Mandrill: ",
	} {
		if fails || !strings.Contains(output, want) {
			t.Errorf("it lacks %q: %s", want, output)
		}
	}
}

// TestStatusOfMetadata says that mails cannot be searched for, because their metadata has no room.
func TestStatusOfMetadata(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, `function(ctx) { message: {
		from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi',
		metadata: { long: std.repeat('x', 179) },
	} }`)
	e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
	output, fails := statusOf(t, address)
	want := "t.jsonnet: 1 of its mails: message.metadata leaves no room for the fields outbox_entry and outbox"
	if fails || !strings.Contains(output, want) {
		t.Errorf("it lacks %q: %s", want, output)
	}
}

// TestListOfAddresses shows recipients, and Mandrill's ids of the messages, where addresses are kept.
func TestListOfAddresses(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	caddyfile := strings.Replace(e.Caddyfile(""), "admin off", "admin "+address, 1)
	if err := e.Load(strings.Replace(caddyfile, "\tmailchimp {\n", "\tmailchimp {\n\t\tlog_recipients\n", 1)); err != nil {
		t.Fatal(err)
	}
	e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
	cmd := outboxCommand()
	var output bytes.Buffer
	cmd.SetOut(&output)
	cmd.SetArgs([]string{"list", "--address", address})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RECIPIENT", "ada@example.net", e.Sandbox.Mails()[0].Recipients[0].ID} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("it lacks %q: %s", want, output.String())
		}
	}
}

// TestStatusOfIndex names a sender whose mails Mandrill's search does not find, until the operator has made the index.
func TestStatusOfIndex(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, edgetest.Minimal)
	const line = "search does not find the mails of example.com"
	says := func() bool {
		output, fails := statusOf(t, address)
		if fails {
			t.Errorf("it fails: %s", output)
		}
		return strings.Contains(output, line)
	}
	edgetest.WaitUntil(t, "no line", says)
	e.MakeIndexes()
	edgetest.WaitUntil(t, "the line stays", func() bool { return !says() })
}
