package caddymodule

import "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"

// LiveOutbox is that of the newest configuration.
func LiveOutbox() *outbox.Outbox {
	running.Lock()
	defer running.Unlock()
	return running.apps[len(running.apps)-1].outbox
}

// OutboxCommand is `caddy mailchimp outbox`.
var OutboxCommand = outboxCommand
