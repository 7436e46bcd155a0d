package caddymodule

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// courierLinks are what a courier's mail is about.
var courierLinks = []string{"recovery_url", "verification_url"}

// courierExpiry is how long a courier's mail is kept if it does not say when its code expires.
const courierExpiry = 15 * time.Minute

// unrendered returns the entry for a ctx that can't be rendered, without the secrets in it.
func (c *call) unrendered(ctx map[string]any, reason string) (outbox.New, error) {
	entry := outbox.New{Sender: c.hook.kind.sender(), Unrendered: reason}
	c.setOrigin(&entry)
	_, courier := ctx["template_type"]
	if courier {
		// A code or a link soon expires, and is what the mail is about.
		expiry := courierExpiry
		minutes, said := object(ctx["template_data"])["expires_in_minutes"].(float64)
		if said && minutes < 7*24*60 {
			// Ory says 0 for less than a minute.
			expiry = max(time.Duration(minutes*float64(time.Minute)), time.Minute)
		}
		entry.Expires, entry.Private = time.Now().Add(expiry), true
	}
	links := make(map[string]any)
	for _, name := range courierLinks {
		if link, has := object(ctx["template_data"])[name]; has && courier {
			links[name] = link
		}
	}
	removeQueries(ctx)
	maps.Copy(object(ctx["template_data"]), links)
	if flow, has := ctx["flow"].(map[string]any); has {
		delete(flow, "ui")
	}
	delete(ctx, "request_cookies")
	removeSecretFields(ctx)
	if headers, has := ctx["request_headers"].(map[string]any); has {
		ctx["request_headers"] = map[string]any{"Accept-Language": headers["Accept-Language"]}
		if headers["Accept-Language"] == nil {
			delete(ctx, "request_headers")
		}
	}
	entry.Recipients = addressesIn(ctx)
	var err error
	entry.Content, err = json.Marshal(ctx)
	return entry, err
}

// removeQueries removes the queries of URLs in a value, which may have tokens.
func removeQueries(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			value[name] = removeQueries(child)
		}
	case []any:
		for i, child := range value {
			value[i] = removeQueries(child)
		}
	case string:
		if strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://") {
			address, _, _ := strings.Cut(value, "?")
			return address
		}
	}
	return value
}

// secretFields of a ctx let their holder act as the person.
var secretFields = []string{
	"session_token", "ory_session_token", "session_token_exchange_code", "oauth2_login_challenge", "oauth2_login_request",
}

// removeSecretFields removes them wherever they are in a value.
func removeSecretFields(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range secretFields {
			delete(value, name)
		}
		for _, child := range value {
			removeSecretFields(child)
		}
	case []any:
		for _, child := range value {
			removeSecretFields(child)
		}
	}
}

func object(value any) map[string]any {
	found, _ := value.(map[string]any)
	return found
}

// addressesIn returns the addresses of the person that a ctx is about, so that the entry can be found and forgotten.
func addressesIn(ctx map[string]any) []string {
	var addresses []string
	add := func(value any) {
		if address, ok := value.(string); ok && address != "" && !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	add(ctx["recipient"])
	for _, identity := range []map[string]any{
		object(ctx["identity"]), object(object(ctx["flow"])["identity"]), object(object(ctx["template_data"])["identity"]),
	} {
		add(object(identity["traits"])["email"])
		list, _ := identity["verifiable_addresses"].([]any)
		for _, element := range list {
			add(object(element)["value"])
		}
	}
	return addresses
}
