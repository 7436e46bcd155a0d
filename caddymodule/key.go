package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// key returns the idempotency key by which a repeat of the call is recognised: given, if the template gave one. ofBody
// reports whether it is the hash of the body, which is forgotten soon.
func (c *call) key(hook *ory.Hook, given string) (key string, ofBody bool) {
	if given != "" {
		return c.hook.templateKey(given), false
	}
	return c.requestKey(hook)
}

// templateKey is scoped by the handler and its template, so that one mail that is asked for through two URLs is one.
func (h *Webhook) templateKey(given string) string {
	return keyOf(append(h.scope(), "template", given)...)
}

// requestKey is scoped by the URL too, so that two hooks never share one, whatever matchers tell them apart.
func (c *call) requestKey(hook *ory.Hook) (key string, ofBody bool) {
	r := c.request
	source, given := "header", r.Header.Get("Idempotency-Key")
	if given == "" {
		source, given = "trigger", r.Header.Get("Ory-Webhook-Trigger-Id")
	}
	if given == "" {
		source, given, ofBody = "body", hook.Body, true
	}
	address := addressOf(r)
	return keyOf(append(c.hook.scope(), hostOf(r), address.EscapedPath(), address.RawQuery, source, given)...), ofBody
}

// scope is what a hook's keys have in common. It is of the configuration as it was written, so that it outlives a
// reload, and a change of an environment variable.
func (h *Webhook) scope() []string {
	return append([]string{h.kind.directive(), h.Template}, h.kind.scope()...)
}

// keyOf hashes the parts of a key, each with its length: no two lists of parts have the same text.
func keyOf(parts ...string) string {
	var text []byte
	for _, part := range parts {
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(append(append(text, ':'), part...), ',')
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// hostOf returns the request's host in lower case, without the port that its scheme implies.
func hostOf(r *http.Request) string {
	implied := "80"
	if r.TLS != nil {
		implied = "443"
	}
	return strings.TrimSuffix(strings.ToLower(r.Host), ":"+implied)
}

// path is that of the request as it came.
func (c *call) path() string { return pathOf(c.request) }

func pathOf(r *http.Request) string { return addressOf(r).Path }

// addressOf returns the URL of a request as it came: routes may have rewritten it.
func addressOf(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL
	}
	return r.URL
}
