package caddymodule

import (
	"net/http"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// warnings are logged once by each hook of a configuration.
type warnings struct {
	parse, cookies, before, method sync.Once
}

// notStored is the id of an identity that Ory has not stored yet, as a registration's hook with response.parse sees it.
const notStored = "00000000-0000-0000-0000-000000000000"

// secretHeaders are those of a person's request that hold credentials. Ory-Base-Url-Rewrite-Token is a key of Ory
// Network's.
var secretHeaders = []string{"Authorization", "Cookie", "Ory-Base-Url-Rewrite-Token", "X-Session-Token"}

// forwardsSecrets reports whether a ctx has the cookies or the credentials of the person's request.
func forwardsSecrets(ctx map[string]any) bool {
	if cookies, ok := ctx["request_cookies"].(map[string]any); ok && len(cookies) > 0 {
		return true
	}
	headers, _ := ctx["request_headers"].(map[string]any)
	return slices.ContainsFunc(secretHeaders, func(name string) bool { return headers[name] != nil })
}

// comesBefore reports whether a ctx is that of a hook before a flow. Such a hook knows the person in settings alone.
func comesBefore(ctx map[string]any) bool {
	_, hasFlow := ctx["flow"].(map[string]any)
	return hasFlow && ctx["identity"] == nil && ctx["template_type"] == nil
}

// warnOfCtx warns of what goes wrong in practice.
func (h *Webhook) warnOfCtx(r *http.Request, hook *ory.Hook) {
	if forwardsSecrets(hook.Ctx) {
		h.warned.cookies.Do(func() {
			h.logger.Warn("Ory forwards the cookies or the credentials of people's requests, which no mail needs: "+
				"forward less, as examples/ory/forward.jsonnet does", zap.String("hook", pathOf(r)))
		})
	}
	if comesBefore(hook.Ctx) {
		h.warned.before.Do(func() {
			h.logger.Warn("Ory calls this hook before a flow, whenever a form is opened and without the person: "+
				"move it from before to after in Ory's configuration", zap.String("hook", pathOf(r)))
		})
	}
	if identity, ok := hook.Ctx["identity"].(map[string]any); ok && identity["id"] == notStored && !h.storesResult {
		h.warned.parse.Do(func() {
			h.logger.Warn("Ory calls this hook with response.parse, before the account is stored and for people "+
				"who have one already: a welcome mail or a subscription belongs in a plain hook or one with "+
				"response.ignore", zap.String("hook", pathOf(r)))
		})
	}
}

// warnOfMethod warns that Ory is configured to call by another method. A caller without credentials is not Ory.
func (h *Webhook) warnOfMethod(r *http.Request) {
	if h.auth.reader.Load().Auth.Allows(r) {
		h.warned.method.Do(func() {
			h.logger.Warn("Ory calls this hook by another method than POST, and is refused: "+
				"set method: POST in its configuration", zap.String("hook", pathOf(r)), zap.String("method", r.Method))
		})
	}
}
