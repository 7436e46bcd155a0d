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
		{[]string{"list", "--state", "lost"}, "state must be one of", true},
		{[]string{"list", "--recipient", "ada@example.net", "--json"}, `"id": "` + id + `"`, false},
		{[]string{"show", id}, `"state": "unrendered"`, false},
		{[]string{"show", "0"}, "no such entry", true},
		{[]string{"retry", id}, "", false},
		{[]string{"show", id, "--content"}, `"email": "ada@example.net"`, false},
		{[]string{"list", "--since", "1h", "--reason", "BROKEN", "--limit", "1"}, "There may be more: --before " + id, false},
		{[]string{"list", "--until", "1h"}, "REASON\n", false},
		{[]string{"list", "--since", "yesterday"}, "--since must be", true},
		{[]string{"retry"}, "name ids, conditions or --all", true},
		{[]string{"retry", id, "--all"}, "not both", true},
		{[]string{"retry", "--state", "sent"}, "sent", true},
		{[]string{"retry", "--state", "dead"}, "retry: 0 entries of 0\n", false},
		{[]string{"discard", "--sender", "other.example", "--json"}, `"finished": true`, false},
		{[]string{"pause", "other.example"}, "known are example.com", true},
		{[]string{"pause", "example.com"}, "example.com is paused\n", false},
		{[]string{"resume", "example.com"}, "example.com sends again\n", false},
		{[]string{"discard", "0"}, "failed for 0", true},
		{[]string{"forget", "nobody@example.net"}, "0 entries forgotten\n", false},
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
