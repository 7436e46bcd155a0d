package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestJudgeSenders has a line for each trouble, and names the senders that it stops.
func TestJudgeSenders(t *testing.T) {
	const domain = "example.com"
	since := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	hold := outbox.Hold{
		Scope: outbox.ScopeKey, Target: "a1b2", Senders: []string{domain, "example.org"},
		Reason: "Invalid_Key", Since: since,
	}
	of := func(change func(*outbox.Hold)) outbox.Status {
		h := hold
		change(&h)
		return outbox.Status{InForce: []outbox.Hold{h}}
	}
	for name, test := range map[string]struct {
		status  outbox.Status
		want    string
		stopped []string
	}{
		"key": {
			outbox.Status{InForce: []outbox.Hold{hold}},
			"example.com, example.org are held since 2026-11-27T08:00:00Z: Invalid_Key (the API key)",
			[]string{domain, "example.org"},
		},
		"former key": {of(func(h *outbox.Hold) { h.Senders = nil }), "", nil},
		"sender paused": {
			of(func(h *outbox.Hold) { h.Scope, h.Target, h.Senders = outbox.ScopePause, domain, []string{domain} }),
			"example.com is paused: ",
			[]string{domain},
		},
		"template": {
			of(func(h *outbox.Hold) { h.Scope, h.Target, h.Senders = outbox.ScopePauseTemplate, "t", nil }),
			"template t is paused: ",
			nil,
		},
		"sealed": {
			outbox.Status{Sealed: map[string]int{domain: 2}},
			"2 entries of example.com can't be opened for lack of a key",
			[]string{domain},
		},
		"refused": {
			outbox.Status{Refused: map[string]outbox.Failing{domain: {Attempts: 3, Reason: "rule"}}},
			"the last 3 answers for example.com were all refusals: rule",
			[]string{domain},
		},
		"failing": {
			outbox.Status{Failing: map[string]outbox.Failing{domain: {Attempts: 3, Reason: "timeout"}}},
			"the last 3 attempts of example.com failed: timeout",
			[]string{domain},
		},
		"failed twice": {
			outbox.Status{Failing: map[string]outbox.Failing{domain: {Attempts: 2, Reason: "timeout"}}},
			"",
			nil,
		},
		"unknown sender": {
			outbox.Status{Unknown: map[string]int{"list:l1": 1}},
			"no mailchimp_audience names list l1",
			[]string{"list:l1"},
		},
	} {
		s := Status{Status: test.status}
		s.judgeSenders()
		got := strings.Join(s.Troubles, "\n")
		if !strings.Contains(got, test.want) || (test.want == "") != (got == "") || !slices.Equal(s.Stopped, test.stopped) {
			t.Errorf("%s: %q, stopped %v", name, got, s.Stopped)
		}
	}
}

// TestAttentionToTheWebhook names a webhook that is refused, until an event arrives.
func TestAttentionToTheWebhook(t *testing.T) {
	now := time.Now()
	for _, heard := range []bool{false, true} {
		events := caddymodule.EventsStatus{Refused: 2, LastRefused: now, Text: "X-Mandrill-Signature doesn't match"}
		if heard {
			events.LastHeard = now.Add(time.Second)
		}
		s := Status{Events: &events}
		s.listAttention()
		if got := strings.Join(s.Attention, "\n"); strings.Contains(got, "mailchimp_events refused 2 calls") == heard {
			t.Errorf("heard %v: %q", heard, got)
		}
	}
}
