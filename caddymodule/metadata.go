package caddymodule

// MetadataFields are the fields that the outbox adds to the metadata of mails. An account that has made them searchable
// can be asked what became of a mail whose answer was lost.
var MetadataFields = []string{entryField, outboxField}
