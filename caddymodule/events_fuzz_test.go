package caddymodule

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// FuzzEventsBody reads forms that are signed with one of the keys, with that of the trial, and with another.
func FuzzEventsBody(f *testing.F) {
	f.Add("mandrill_events=%5B%5D", "key")
	f.Add("mandrill_events=%5B%7B%22event%22%3A%22open%22%7D%5D&a=1&a=2", mandrill.TestWebhookKey)
	f.Add("mandrill_events=[&=;%", "other")
	f.Fuzz(func(t *testing.T, body, key string) {
		keys, err := newSecrets("key", []string{"old", "key"})
		if err != nil {
			t.Fatal(err)
		}
		h := &Events{url: "https://hooks.example.com/mandrill", keys: keys}
		form, err := url.ParseQuery(body)
		events, refused := h.verified([]byte(body), mandrill.Signature(key, h.url, form))
		switch {
		case refused != nil && len(events) > 0:
			t.Errorf("refused with %d, and read %+v", refused.status, events)
		case refused == nil && err != nil:
			t.Error("what is no form is taken")
		case refused == nil && key == mandrill.TestWebhookKey && form.Get("mandrill_events") != "[]":
			t.Error("the key of the trial signs more than an empty list")
		case refused == nil && key != "old" && key != "key" && key != mandrill.TestWebhookKey && !paddedAlike(key):
			t.Errorf("signed with %q", key)
		}
	})
}

// paddedAlike reports whether HMAC can't tell a key from a configured one: it fills keys up with zeros.
func paddedAlike(key string) bool {
	trimmed := strings.TrimRight(key, "\x00")
	return trimmed == "old" || trimmed == "key" || trimmed == mandrill.TestWebhookKey
}
