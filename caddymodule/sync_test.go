package caddymodule_test

import (
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// forgetReplies has the process forget its answers to sync hooks, as after a restart.
func forgetReplies(e *edgetest.Edge) {
	e.T.Helper()
	if err := e.Load(e.Caddyfile("delivery sync\nmax_body 2MB")); err != nil {
		e.T.Fatal(err)
	}
	caddymodule.ForgetReplies()
}

// TestSyncIsRecorded repeats hooks after the process forgot them, as after a restart or at another edge.
func TestSyncIsRecorded(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	first := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	id := first.Entry()
	if first.Status != 200 || id == "" {
		t.Fatalf("got %+v", first)
	}
	if entry := e.WaitState(id, outbox.Sent); entry.Content != nil ||
		len(entry.Outcome) != 1 || entry.Outcome[0].Email != "" {
		t.Errorf("%+v", entry)
	}
	forgetReplies(e)
	again := e.Post(edgetest.Ada, edgetest.Header("Accept", "*/*"))
	if again.Status != 200 || again.Body != first.Body || again.Entry() != id ||
		again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	// A queued hook knows the key too, and the other way round.
	if err := e.Load(e.Caddyfile("")); err != nil {
		t.Fatal(err)
	}
	if again := e.Post(edgetest.Ada); again.Status != 204 || again.Entry() != id ||
		again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("queued: %+v", again)
	}
	const bob = `{"identity":{"traits":{"email":"bob@example.net"}}}`
	queued := e.Post(bob)
	e.WaitState(queued.Entry(), outbox.Sent)
	forgetReplies(e)
	if again := e.Post(bob); again.Status != 204 || again.Entry() != queued.Entry() ||
		again.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("sync after queued: %+v", again)
	}
	if n := len(e.Sandbox.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
}

// TestSyncOutcomes repeats hooks whose outcome is unknown, which are not sent again, and hooks that were not sent.
func TestSyncOutcomes(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	// What isn't known is not sent again.
	if err := e.Sandbox.Fail(sandbox.Failure{Reset: "after"}); err != nil {
		t.Fatal(err)
	}
	const carl = `{"identity":{"traits":{"email":"carl@example.net"}}}`
	if got := e.Post(carl); got.Status != 503 {
		t.Errorf("unknown: %+v", got)
	}
	forgetReplies(e)
	if got := e.Post(carl); got.Status != 503 || got.Header.Get("Outbox-Duplicate") != "true" ||
		len(e.Sandbox.Mails()) != 1 {
		t.Errorf("unknown, again: %+v, %d mails", got, len(e.Sandbox.Mails()))
	}
	// What didn't go out may be tried again.
	if err := e.Sandbox.Fail(sandbox.Failure{Status: 503}); err != nil {
		t.Fatal(err)
	}
	const dora = `{"identity":{"traits":{"email":"dora@example.net"}}}`
	if got := e.Post(dora); got.Status != 503 {
		t.Errorf("down: %+v", got)
	}
	if got := e.Post(dora); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "" {
		t.Errorf("up again: %+v", got)
	}
}

// TestSyncIsHeld has Mandrill queue a mail for the account's sake: the outbox looks after it from then on.
func TestSyncIsHeld(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	if err := e.Sandbox.Fail(sandbox.Failure{QueuedReason: "sending-paused"}); err != nil {
		t.Fatal(err)
	}
	got := e.Post(edgetest.Ada)
	if got.Status != 204 {
		t.Fatalf("got %+v", got)
	}
	id := got.Entry()
	e.WaitState(id, outbox.Backlogged)
	e.Sandbox.Recover()
	e.WaitState(id, outbox.Sent)
	if n := len(e.Sandbox.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestSyncRefusedForTheOperator has Mandrill refuse a mail for a reason that is not the person's: nothing is lost, and
// the answer does not blame the address.
func TestSyncRefusedForTheOperator(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "delivery sync", "")
	if err := e.Sandbox.Fail(sandbox.Failure{RejectReason: "invalid-sender"}); err != nil {
		t.Fatal(err)
	}
	got := e.Post(edgetest.Ada)
	if got.Status != 422 || got.ID() != ory.ErrRefused.ID {
		t.Errorf("got %+v", got)
	}
	if entry := e.WaitState(got.Entry(), outbox.Dead); len(entry.Content) == 0 {
		t.Errorf("its content is lost: %+v", entry)
	}
}
