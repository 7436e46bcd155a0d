package caddymodule_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

const adaAndBob = `function(ctx) { message: {
	from_email: 'hello@example.com', subject: 'Hi', text: 'Hi',
	to: [{ email: 'ada@example.net' }, { email: 'bob@example.net' }],
} }`

// partlyRefused has Mandrill accept a mail for Ada, and refuse it for Bob because of a rule.
var partlyRefused = sandbox.Failure{Body: `[{"email":"ada@example.net","status":"sent","_id":"ada1"},
	{"email":"bob@example.net","status":"rejected","reject_reason":"rule","_id":"bob1"}]`}

// TestRetryOfTheRest sends a mail again to those recipients alone that were not accepted.
func TestRetryOfTheRest(t *testing.T) {
	for name, failure := range map[string]sandbox.Failure{
		"at once": {},
		// The search finds the mail to Bob, and not that to Ada, which it found before.
		"after a search": {Reset: "after"},
	} {
		t.Run(name, func(t *testing.T) {
			e := edgetest.NewWith(t, adaAndBob, "", "")
			if err := e.Sandbox.Fail(partlyRefused); err != nil {
				t.Fatal(err)
			}
			id := e.Post(edgetest.Ada).Entry()
			entry := e.WaitState(id, outbox.Sent)
			if entry.Content == nil || !strings.Contains(entry.Reason, "a rule of the account") {
				t.Fatalf("%+v", entry)
			}
			if failure.Reset != "" {
				if err := e.Sandbox.Fail(failure); err != nil {
					t.Fatal(err)
				}
			}
			if err := edgetest.Outbox().Retry(t.Context(), id, outbox.Again); err != nil {
				t.Fatal(err)
			}
			edgetest.WaitUntil(t, "the rest is never sent", func() bool {
				entry = e.WaitState(id, outbox.Sent, outbox.Retrying, outbox.Uncertain, outbox.Sending)
				return entry.State == outbox.Sent
			})
			mails := e.Sandbox.Mails()
			if len(mails) != 1 || len(mails[0].Recipients) != 1 || mails[0].Recipients[0].Email != "bob@example.net" {
				t.Fatalf("%d mails: %+v", len(mails), mails)
			}
			statuses := []string{entry.Outcome[0].Status + entry.Outcome[0].ID, entry.Outcome[1].Status + entry.Outcome[1].ID}
			if !slices.Equal(statuses, []string{"sentada1", "sent" + mails[0].Recipients[0].ID}) || entry.Content != nil {
				t.Errorf("%+v", entry)
			}
		})
	}
}
