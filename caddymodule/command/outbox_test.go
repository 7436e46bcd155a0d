package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestOutboxCommand(t *testing.T) {
	e, address := edgetest.NewWithAdmin(t, `function(ctx) error 'broken'`)
	id := e.Post(`{"identity":{"traits":{"email":"ada@example.net"}}}`).Entry()
	run := func(args ...string) (string, error) {
		cmd := outboxCommand()
		var output bytes.Buffer
		cmd.SetOut(&output)
		cmd.SetErr(&output)
		cmd.SetArgs(append(args, "--address", address))
		err := cmd.ExecuteContext(t.Context())
		return output.String(), err
	}
	for _, test := range []struct {
		args  []string
		want  string
		fails bool
	}{
		{[]string{"list"}, "unrendered", false},
		{[]string{"list", "--state", "unrendered"}, "broken", false},
		{[]string{"list", "--state", "sent"}, "REASON\n", false},
		{[]string{"list", "--state", "Unrendered", "--state", "sent"}, id, false},
		{[]string{"list", "--event", "hard_bounce"}, "REASON\n", false},
		{[]string{"list", "--event", "bounced"}, "event must be one of", true},
		{[]string{"list", "--recipient", "nobody"}, "recipient must be an address", true},
		{[]string{"list", "--since", "7d"}, id, false},
		{[]string{"list", "--since", "2026-11-27", "--until", "2026-11-27"}, "REASON\n", false},
		{[]string{"list", "--state", "lost"}, "state must be one of", true},
		{[]string{"list", "--recipient", "ada@example.net", "--json"}, `"id": "` + id + `"`, false},
		{[]string{"show", id, "--json"}, `"state": "unrendered"`, false},
		{[]string{"show", "0"}, "no such entry", true},
		{[]string{"retry", id}, id + " is unrendered: ", false},
		{[]string{"retry", id, "--again", "--json"}, `"unrendered": 1`, false},
		{[]string{"retry", "--state", "unrendered"}, "retry: 1 of 1 entry: 1 unrendered\n", false},
		{[]string{"pause", "--template", "t.jsonnet"}, "t.jsonnet is paused\n", false},
		{[]string{"resume", "--template", "t.jsonnet"}, "t.jsonnet sends again\n", false},
		{[]string{"pause"}, "name either a sender or --template", true},
		{[]string{"show", id, "--content"}, `"email": "ada@example.net"`, false},
		{[]string{"list", "--since", "1h", "--reason", "BROKEN", "--limit", "1"}, "There may be more: --before " + id, false},
		{[]string{"list", "--until", "1h"}, "REASON\n", false},
		{[]string{"list", "--since", "yesterday"}, "no duration such as 24h or 7d", true},
		{[]string{"retry"}, "name ids, conditions or --all", true},
		{[]string{"retry", id, "--all"}, "not both", true},
		{[]string{"retry", "--state", "sent"}, "sent", true},
		{[]string{"retry", "--state", "dead"}, "retry: 0 of 0 entries\n", false},
		{[]string{"discard", "--sender", "other.example", "--json"}, `"finished": true`, false},
		{[]string{"pause", "other.example"}, "known are example.com", true},
		{[]string{"pause", "example.com"}, "example.com is paused\n", false},
		{[]string{"resume", "example.com"}, "example.com sends again\n", false},
		{[]string{"discard", "0"}, "failed for 0", true},
		{[]string{"forget", "nobody@example.net"}, "no entry to this address", true},
		{[]string{"forget", "nobody"}, "with an address", true},
		{[]string{"forget"}, "accepts 1 arg", true},
	} {
		output, err := run(test.args...)
		if (err != nil) != test.fails || !strings.Contains(output, test.want) {
			t.Errorf("%v: %q, %v", test.args, output, err)
		}
	}
	e.WaitForLog("entry can't be rendered")
	e.WaitState(id, outbox.Unrendered)
	if output, err := run("discard", id); err != nil {
		t.Errorf("%q, %v", output, err)
	}
	var entries []outbox.Entry
	output, err := run("list", "--json")
	if err != nil || json.Unmarshal([]byte(output), &entries) != nil || len(entries) != 1 ||
		entries[0].State != outbox.Discarded {
		t.Errorf("%q, %v", output, err)
	}
}
