package caddymodule

import (
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// toAda is a message to Ada, with copies to others.
type toAda struct{}

func (toAda) IsPrimary(address string) bool { return strings.HasPrefix(address, "ada") }

// TestMailOutcome turns each status and reason of Mandrill's into a verdict, and a hold where there is one.
func TestMailOutcome(t *testing.T) {
	const sent, rejected, dead = outbox.VerdictSent, outbox.VerdictRejected, outbox.VerdictDead
	const hold, backlogged = outbox.VerdictHold, outbox.VerdictBacklogged
	ada := func(status, reason string) mandrill.Recipient {
		r := mandrill.Recipient{Email: "ada@example.net", Status: status, ID: "1"}
		if status == "queued" {
			r.QueuedReason = reason
		} else {
			r.RejectReason = reason
		}
		return r
	}
	copied := func(r mandrill.Recipient) mandrill.Recipient {
		r.Email = "copy@example.net"
		return r
	}
	for name, test := range map[string]struct {
		recipients []mandrill.Recipient
		verdict    outbox.Verdict
		scope      outbox.Scope
		keeps      bool
	}{
		"sent":                       {[]mandrill.Recipient{ada("sent", "")}, sent, "", false},
		"queued":                     {[]mandrill.Recipient{ada("queued", "")}, sent, "", false},
		"queued for its files":       {[]mandrill.Recipient{ada("queued", "attachments")}, sent, "", false},
		"queued for many":            {[]mandrill.Recipient{ada("queued", "multiple-recipients")}, sent, "", false},
		"scheduled":                  {[]mandrill.Recipient{ada("scheduled", "")}, sent, "", false},
		"trial is over":              {[]mandrill.Recipient{ada("queued", "free-trial-sends-exhausted")}, backlogged, outbox.ScopeSubaccount, false},
		"hourly quota":               {[]mandrill.Recipient{ada("queued", "hourly-quota-exhausted")}, backlogged, outbox.ScopeSubaccount, false},
		"monthly limit":              {[]mandrill.Recipient{ada("queued", "monthly-limit-reached")}, backlogged, outbox.ScopeSubaccount, false},
		"paused":                     {[]mandrill.Recipient{ada("queued", "sending-paused")}, backlogged, outbox.ScopeSubaccount, false},
		"suspended":                  {[]mandrill.Recipient{ada("queued", "sending-suspended")}, backlogged, outbox.ScopeSubaccount, false},
		"account suspended":          {[]mandrill.Recipient{ada("queued", "account-suspended")}, backlogged, outbox.ScopeSubaccount, false},
		"hard bounce":                {[]mandrill.Recipient{ada("rejected", "hard-bounce")}, rejected, "", false},
		"soft bounce":                {[]mandrill.Recipient{ada("rejected", "soft-bounce")}, rejected, "", false},
		"spam":                       {[]mandrill.Recipient{ada("rejected", "spam")}, rejected, "", false},
		"unsub":                      {[]mandrill.Recipient{ada("rejected", "unsub")}, rejected, "", false},
		"custom":                     {[]mandrill.Recipient{ada("rejected", "custom")}, rejected, "", false},
		"invalid address":            {[]mandrill.Recipient{ada("rejected", "invalid")}, rejected, "", false},
		"invalid":                    {[]mandrill.Recipient{ada("invalid", "")}, rejected, "", false},
		"no reason":                  {[]mandrill.Recipient{ada("rejected", "")}, rejected, "", false},
		"unsigned":                   {[]mandrill.Recipient{ada("rejected", "unsigned")}, hold, outbox.ScopeDomain, false},
		"test key":                   {[]mandrill.Recipient{ada("rejected", "test-mode-limit")}, hold, outbox.ScopeKey, false},
		"invalid sender":             {[]mandrill.Recipient{ada("rejected", "invalid-sender")}, dead, "", false},
		"rule":                       {[]mandrill.Recipient{ada("rejected", "rule")}, dead, "", false},
		"reason that is new":         {[]mandrill.Recipient{ada("rejected", "new-reason")}, dead, "", false},
		"status that is new":         {[]mandrill.Recipient{ada("new-status", "")}, dead, "", false},
		"sent, copy bounced":         {[]mandrill.Recipient{ada("sent", ""), copied(ada("rejected", "hard-bounce"))}, sent, "", false},
		"bounced, copy sent":         {[]mandrill.Recipient{ada("rejected", "hard-bounce"), copied(ada("sent", ""))}, rejected, "", false},
		"sent, copy against a rule":  {[]mandrill.Recipient{ada("sent", ""), copied(ada("rejected", "rule"))}, sent, "", true},
		"rule and unsigned together": {[]mandrill.Recipient{ada("rejected", "rule"), copied(ada("rejected", "unsigned"))}, hold, outbox.ScopeDomain, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := new(App).mailOutcome(test.recipients, toAda{})
			if got.Verdict != test.verdict || got.Scope != test.scope || got.KeepContent != test.keeps {
				t.Errorf("got %+v", got)
			}
			if len(got.Outcome) != len(test.recipients) || got.Outcome[0].Email != "" {
				t.Errorf("the outcome is %+v", got.Outcome)
			}
			if test.verdict != sent && got.Reason == "" {
				t.Error("there is no reason")
			}
		})
	}
}
