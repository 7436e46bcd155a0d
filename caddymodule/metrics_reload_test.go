package caddymodule_test

import (
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestMetricsSurviveReloads counts on over a reload, and has the outbox's gauges after some seconds.
func TestMetricsSurviveReloads(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	before := e.Number(`caddy_mailchimp_attempts_total{outcome="sent"}`)
	e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
	if err := e.Load(e.Caddyfile("timeout 9s")); err != nil {
		t.Fatal(err)
	}
	e.WaitState(e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)).Entry(), outbox.Sent)
	if got := e.Number(`caddy_mailchimp_attempts_total{outcome="sent"}`) - before; got != 2 {
		t.Errorf("%v attempts", got)
	}
	if got := e.Metric("caddy_mailchimp_ready"); got != "1" {
		t.Errorf("ready is %q", got)
	}
	if _, err := edgetest.Outbox().Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.Metric(`caddy_mailchimp_outbox_entries{state="sent"}`); got != "2" {
		t.Errorf("%q entries are sent", got)
	}
	if got := e.Metric(`caddy_mailchimp_outbox_oldest_seconds{state="sent"}`); got == "" || got == "0" {
		t.Errorf("the oldest is %q old", got)
	}
}
