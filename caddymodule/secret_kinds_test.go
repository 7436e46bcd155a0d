package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
)

// followed is a kind of secret.
type followed struct {
	name                   string
	first, second, invalid string
	// option is the directive that a trouble must name.
	option string
	// prepare configures it, and returns what is in force.
	prepare func(m *mount, placeholder string) func() string
}

// kindsOfSecrets are all that are followed.
var kindsOfSecrets = []followed{
	{"api_key", "first-key", "second-key", "a key", "api_key", prepareKey},
	{"api_key of an audience", "first-us1", "second-us1", "second", "api_key", prepareListKey},
	{"auth header", "first", "second", "second ", "auth header", authKind("header", "X-Hook-Key", "Bearer ")},
	{"auth cookie", "first", "second", "a;b", "auth cookie", authKind("cookie", "key", "")},
	{"auth basic", "first", "second", " second", "auth basic", authKind("basic", "ory", "")},
	{"key", "first", "second", "a key", "key", prepareWebhookKey},
	{"dsn", "first", "second", "a@b:c@d", "outbox postgres", prepareDSN},
	{"whole dsn", dsnOf("first"), dsnOf("second"), "postgres://a:b@other/ory", "outbox postgres", prepareWholeDSN},
}

func prepareKey(m *mount, placeholder string) func() string {
	key, err := newSecret("api_key", placeholder)
	m.check(err)
	m.check(m.app.registerDomains([]string{"example.com"}, key))
	return func() string {
		if m.app.ClientFor("example.com") == nil {
			return "no client"
		}
		return m.app.accountNames()["example.com"]
	}
}

func prepareListKey(m *mount, placeholder string) func() string {
	key, err := newSecret("api_key", placeholder)
	m.check(err)
	account, err := m.app.registerList("L1", key, "")
	m.check(err)
	return func() string {
		if account.client.Load() != m.app.listClients[accountName("", key.value())] {
			return "another client"
		}
		return strings.TrimSpace(m.app.accountNames()["list:l1"])
	}
}

// authKind prepares an auth line whose value has a prefix before the placeholder.
func authKind(kind, name, prefix string) func(m *mount, placeholder string) func() string {
	return func(m *mount, placeholder string) func() string {
		h := &Webhook{app: m.app, Auth: []Auth{{Type: kind, Name: name, Value: prefix + placeholder}}}
		m.check(h.provisionAuth())
		return func() string {
			value, _ := strings.CutPrefix(h.auth.lines[0].inForce().value, prefix)
			if !lets(h, kind, name, prefix+value) {
				return "not let in"
			}
			return value
		}
	}
}

// lets reports whether a hook lets a call with a credential in.
func lets(h *Webhook, kind, name, value string) bool {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	switch kind {
	case "header":
		r.Header.Set(name, value)
	case "cookie":
		r.Header.Set("Cookie", name+"="+value)
	default:
		r.SetBasicAuth(name, value)
	}
	return h.auth.reader.Load().Auth.Allows(r)
}

func prepareWebhookKey(m *mount, placeholder string) func() string {
	h := &Events{app: m.app, Keys: []string{placeholder}}
	m.check(h.provisionKeys())
	return func() string { return valuesOf(h.keys)[0] }
}

func dsnOf(password string) string { return "postgres://caddy:" + password + "@db.example/ory" }

func prepareDSN(m *mount, placeholder string) func() string {
	inForce := prepareWholeDSN(m, dsnOf(placeholder))
	return func() string {
		_, after, _ := strings.Cut(inForce(), "caddy:")
		password, _, _ := strings.Cut(after, "@")
		return password
	}
}

func prepareWholeDSN(m *mount, dsn string) func() string {
	m.app.Outbox = &Outbox{Kind: "postgres", DSN: dsn}
	m.check(m.app.provisionOutbox())
	return func() string { return m.app.outboxSettings().Postgres }
}
