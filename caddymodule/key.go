package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// key returns the idempotency key by which a repeat of the call is recognised: given, if the template gave one. It is
// scoped by handler, host and path, so that two hooks never share one. ofBody reports whether it is the hash of the
// body, which is forgotten soon.
func (c *call) key(hook *ory.Hook, given string) (key string, ofBody bool) {
	r := c.request
	source := "template"
	if given == "" {
		source, given = "header", r.Header.Get("Idempotency-Key")
	}
	if given == "" {
		source, given = "trigger", r.Header.Get("Ory-Webhook-Trigger-Id")
	}
	if given == "" {
		source, given, ofBody = "body", hook.Body, true
	}
	var scoped []byte
	for _, part := range []string{c.hook.kind.directive(), strings.ToLower(r.Host), c.path(), source, given} {
		scoped = strconv.AppendInt(scoped, int64(len(part)), 10)
		scoped = append(append(append(scoped, ':'), part...), ',')
	}
	digest := sha256.Sum256(scoped)
	return hex.EncodeToString(digest[:]), ofBody
}

// path is that of the request as it came: routes may have rewritten it.
func (c *call) path() string { return pathOf(c.request) }

func pathOf(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.Path
	}
	return r.URL.Path
}
