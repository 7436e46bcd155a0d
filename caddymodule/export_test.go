package caddymodule

import (
	"container/list"
	"context"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// LiveOutbox is that of the newest configuration.
func LiveOutbox() *outbox.Outbox {
	running.Lock()
	defer running.Unlock()
	return running.apps[len(running.apps)-1].outbox
}

// OutboxCommand is `caddy mailchimp outbox`.
var OutboxCommand = outboxCommand

// ForgetRecords forgets the answers to sync hooks that are in memory.
func ForgetRecords() {
	running.Lock()
	defer running.Unlock()
	records := running.apps[len(running.apps)-1].records
	records.mu.Lock()
	defer records.mu.Unlock()
	records.byKey = make(map[string]*list.Element)
	records.byAge.Init()
}

// Headline is what `caddy mailchimp status` says first.
func Headline(flows bool, senders, stopped []string) (string, error) {
	return status{Flows: flows, Senders: senders, Stopped: stopped}.headline()
}

// LiveHeadline is that of the newest configuration.
func LiveHeadline(ctx context.Context) (string, error) { return Running().status(ctx).headline() }

// StatusCommand is `caddy mailchimp status`, and SendTestCommand `caddy mailchimp send-test`.
var (
	StatusCommand   = statusCommand
	SendTestCommand = sendTestCommand
)
