package caddymodule_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// postUnderReloads posts hooks while the configuration is replaced again and again, and returns how many.
func postUnderReloads(e *edgetest.Edge, lines string) int {
	e.T.Helper()
	const callers, hooks, hooksPerReload = 4, 50, 10
	var posting sync.WaitGroup
	answered := make(chan struct{})
	for caller := range callers {
		posting.Go(func() {
			for n := range hooks {
				body := strings.Replace(edgetest.Ada, "f1", fmt.Sprintf("f%d-%d", caller, n), 1)
				if got := e.Post(body); got.Status != 204 {
					e.T.Errorf("got %+v", got)
				}
				answered <- struct{}{}
			}
		})
	}
	go func() { posting.Wait(); close(answered) }()
	n := 0
	for range answered {
		if n++; n%hooksPerReload == 0 {
			if err := e.Load(e.Caddyfile(fmt.Sprintf("%s\ntimeout %ds", lines, n))); err != nil {
				e.T.Error(err)
			}
		}
	}
	return callers * hooks
}

func TestHookUnderReloads(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	hooks := postUnderReloads(e, "delivery sync")
	if got := len(e.Sandbox.Mails()); got != hooks {
		t.Errorf("%d mails for %d hooks", got, hooks)
	}
}

func TestQueuedUnderReloads(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	hooks := postUnderReloads(e, "")
	e.WaitMails(hooks)
	for _, state := range []outbox.State{outbox.Pending, outbox.Sending, outbox.Retrying} {
		edgetest.WaitUntil(t, "entries are "+string(state), func() bool {
			entries, err := edgetest.Outbox().List(t.Context(), outbox.Filter{States: []outbox.State{state}})
			if err != nil {
				t.Fatal(err)
			}
			return len(entries) == 0
		})
	}
	if got := len(e.Sandbox.Mails()); got != hooks {
		t.Errorf("%d mails for %d hooks", got, hooks)
	}
}

// TestReloadLeavesNothingBehind refuses to turn away from an outbox with undelivered entries.
func TestReloadLeavesNothingBehind(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	if err := e.Sandbox.Fail(sandbox.Failure{Calls: 1000, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada).Entry()
	e.WaitForLog("sender is held")
	other := strings.Replace(e.Caddyfile(""), e.Path("outbox.db"), e.Path("other.db"), 1)
	off := strings.Replace(e.Caddyfile("delivery sync"), "outbox sqlite "+e.Path("outbox.db"), "outbox off", 1)
	for name, caddyfile := range map[string]string{"another file": other, "off": off} {
		if err := e.Load(caddyfile); err == nil || !strings.Contains(err.Error(), "1 undelivered entries") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What runs goes on.
	if got := e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)); got.Status != 204 {
		t.Errorf("got %+v", got)
	}
	// The operator may discard what waits, and then load it.
	for _, id := range []string{id, e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)).Entry()} {
		edgetest.WaitUntil(t, "the entry is being sent", func() bool {
			// The entry that probes is being sent for a moment.
			err := edgetest.Outbox().Discard(t.Context(), id)
			if err != nil && !errors.Is(err, outbox.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	if err := e.Load(other); err != nil {
		t.Error(err)
	}
}

// TestFailedReload leaves what runs as it was.
func TestFailedReload(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	e.Post(edgetest.Ada)
	for _, broken := range []string{
		e.Caddyfile("auth header X-Key {env.NOT_SET}"), e.Caddyfile("imports {env.NOT_SET}"), e.Caddyfile("from " +
			"nobody@example.net"),
	} {
		if err := e.Load(broken); err == nil {
			t.Fatal("loaded")
		}
		if got := e.Post(edgetest.Ada); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "true" {
			t.Fatalf("after a failed reload: %+v", got)
		}
	}
	e.Write("t.jsonnet", strings.Replace(edgetest.Minimal, "'Hi'", "'Changed'", 1))
	e.WaitForLog(`"msg":"template changed"`)
}

// TestReloadFailsAtStart goes on with the former settings if a server of the new configuration cannot listen. Caddy
// starts apps in any order: several reloads have the outbox started before it.
func TestReloadFailsAtStart(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := e.Caddyfile("") + "http://" + taken.Addr().String() + " {\n\trespond 404\n}\n"
	broken = strings.Replace(broken, e.Base, "http://"+taken.Addr().String()+"/nowhere", 1)
	for n := range 8 {
		if err := e.Load(broken); err == nil {
			t.Fatal("loaded")
		}
		e.Post(strings.Replace(edgetest.Ada, "f1", fmt.Sprint(n), 1))
		e.WaitMails(n + 1)
	}
}

// TestMetricsSurviveReloads counts on over a reload, and has the outbox's gauges after some seconds.
func TestMetricsSurviveReloads(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	attempts := `caddy_mailchimp_attempts_total{outcome="sent",sender="example.com",template="` +
		e.Path("t.jsonnet") + `"}`
	if got := e.Metric(attempts); got != "0" {
		t.Errorf("before the first attempt: %q", got)
	}
	e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent)
	if err := e.Load(e.Caddyfile("timeout 9s")); err != nil {
		t.Fatal(err)
	}
	e.WaitState(e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1)).Entry(), outbox.Sent)
	if got := e.Number(attempts); got != 2 {
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
