package caddymodule

import (
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// MetadataFields are the fields that the outbox adds to the metadata of mails. An account that has made them searchable
// can be asked what became of a mail whose answer was lost.
var MetadataFields = []string{entryField, outboxField}

// NoRoom says what is wrong with a message that HasRoom is false for, and what to do.
const NoRoom = "message.metadata leaves no room for the fields outbox_entry and outbox: Mandrill cannot be asked " +
	"about a mail whose answer is lost, which may be sent twice. Shorten it to 189 bytes as JSON, and use other names"

// HasRoom reports whether the metadata of a message has room for MetadataFields, and adds them.
func HasRoom(message *mandrill.Request) bool {
	id := func(length int) string { return strings.Repeat("0", length) }
	return mail{Request: message}.tie(id(outbox.EntryIDLength), id(outbox.OutboxIDLength))
}
