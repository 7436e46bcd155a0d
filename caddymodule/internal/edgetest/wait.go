package edgetest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// patience is how long a test waits for something before it fails, and pause the time between two looks at it.
const (
	patience = time.Minute
	pause    = 5 * time.Millisecond
)

// WaitUntil returns when the condition holds, and ends the test if it does not within a minute.
func WaitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Outbox returns the outbox of the running configuration.
func Outbox() *outbox.Outbox { return caddymodule.Running().RunningOutbox() }

// WaitMails returns when the sandbox has received n mails.
func (e *Edge) WaitMails(n int) []*sandbox.Mail {
	e.T.Helper()
	ctx, cancel := context.WithTimeout(e.T.Context(), patience)
	defer cancel()
	mails, err := e.Sandbox.Wait(ctx, n)
	if err != nil {
		e.T.Fatalf("%d mails of %d: %v", len(e.Sandbox.Mails()), n, err)
	}
	return mails
}

// WaitState returns an entry when it is in one of the states.
func (e *Edge) WaitState(id string, states ...outbox.State) outbox.Entry {
	e.T.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		entry, err := Outbox().Get(e.T.Context(), id)
		if err != nil {
			e.T.Fatal(err)
		}
		for _, state := range states {
			if entry.State == state {
				return entry
			}
		}
		if time.Now().After(deadline) {
			e.T.Fatalf("the entry is not %v: %+v", states, entry)
		}
	}
}

// Logs returns what Caddy has logged.
func (e *Edge) Logs() string {
	e.T.Helper()
	data, err := os.ReadFile(e.logFile)
	if err != nil {
		e.T.Fatal(err)
	}
	return string(data)
}

// WaitForLog returns when the log has the text.
func (e *Edge) WaitForLog(text string) {
	e.T.Helper()
	WaitUntil(e.T, "the log has no "+text, func() bool { return strings.Contains(e.Logs(), text) })
}

// checkSecrets looks for secrets in all that was logged at the level DEBUG.
func (e *Edge) checkSecrets() {
	e.T.Helper()
	for _, secret := range []string{APIKey, HookKey, "ada@example.net", "s3cret"} {
		for line := range strings.Lines(e.Logs()) {
			if strings.Contains(line, secret) {
				e.T.Errorf("%q is in the log: %s", secret, line)
			}
		}
	}
}
