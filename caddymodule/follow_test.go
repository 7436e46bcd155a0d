package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// mount is a folder with secrets, as Kubernetes mounts them: links lead into a folder whose name changes.
type mount struct {
	t      *testing.T
	folder string
	logs   *observer.ObservedLogs
	app    *App
}

func newMount(t *testing.T) *mount {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	m := &mount{t: t, folder: t.TempDir(), logs: logs, app: &App{
		logger: zap.New(core), base: mandrill.DefaultBaseURL, keyOf: make(map[string]string),
		clients: make(map[string]*mandrill.Client), lists: make(map[string]*listAccount),
		listClients: make(map[string]*audience.Client),
	}}
	m.app.keys = &apiKeys{app: m.app}
	m.check(os.Mkdir(m.path("..1"), 0o700))
	m.check(os.Symlink("..1", m.path("..data")))
	return m
}

func (m *mount) path(name string) string { return filepath.Join(m.folder, name) }

// placeholder writes a secret, and returns the placeholder for it.
func (m *mount) placeholder(name, value string) string {
	m.t.Helper()
	m.check(os.Symlink("..data/"+name, m.path(name)))
	m.write(name, value)
	return "{file." + m.path(name) + "}"
}

func (m *mount) write(name, text string) {
	m.t.Helper()
	m.check(os.WriteFile(m.path("..data/"+name), []byte(text), 0o600))
}

// swap replaces all secrets at once, by a link to another folder.
func (m *mount) swap(secrets map[string]string) {
	m.t.Helper()
	folder, err := os.MkdirTemp(m.folder, "..")
	m.check(err)
	for name, value := range secrets {
		m.check(os.WriteFile(filepath.Join(folder, name), []byte(value), 0o600))
	}
	m.check(os.Symlink(filepath.Base(folder), m.path("..next")))
	m.check(os.Rename(m.path("..next"), m.path("..data")))
}

func (m *mount) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// look looks at the files as often as a change needs to take effect.
func (m *mount) look() {
	m.app.lookAtSecrets(m.t.Context())
	m.app.lookAtSecrets(m.t.Context())
}

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

// TestSecretsAreFollowed changes each kind of secret in each way.
func TestSecretsAreFollowed(t *testing.T) {
	for _, kind := range kindsOfSecrets {
		t.Run(kind.name, func(t *testing.T) {
			m := newMount(t)
			placeholder := m.placeholder("secret", kind.first+"\n")
			inForce := kind.prepare(m, placeholder)
			expect := func(what, value, trouble string) {
				t.Helper()
				m.look()
				if got := inForce(); got != value {
					t.Errorf("%s: %q is in force, not %q", what, got, value)
				}
				troubles := m.app.SecretTroubles()
				if trouble == "" && len(troubles) > 0 {
					t.Errorf("%s: %q", what, troubles)
				}
				if trouble != "" && (len(troubles) != 1 || !strings.Contains(troubles[0], trouble) ||
					!strings.HasPrefix(troubles[0], kind.option+": ") || !strings.Contains(troubles[0], placeholder)) {
					t.Errorf("%s: %q", what, troubles)
				}
			}
			expect("unchanged", kind.first, "")
			m.write("secret", kind.second)
			expect("changed", kind.second, "")
			m.write("secret", "\n")
			expect("emptied", kind.second, "is empty")
			m.write("secret", kind.second)
			expect("as it was", kind.second, "")
			m.write("secret", kind.invalid)
			expect("invalid", kind.second, "is refused")
			m.write("secret", kind.first)
			expect("changed back", kind.first, "")
			m.swap(map[string]string{"secret": kind.second})
			expect("swapped", kind.second, "")
			m.swap(nil)
			expect("removed", kind.second, "cannot be read: no such file")
			m.check(syscall.Mkfifo(m.path("..data/secret"), 0o600))
			expect("a pipe", kind.second, "is not a regular file")
			m.swap(map[string]string{"secret": kind.first})
			expect("there again", kind.first, "")
			m.checkLogs(kind)
		})
	}
}

// checkLogs finds each change and each trouble once, and no value.
func (m *mount) checkLogs(kind followed) {
	m.t.Helper()
	for message, times := range map[string]int{"secret changed": 4, "changed secret is not in force": 4} {
		if got := m.logs.FilterMessage(message).Len(); got != times {
			m.t.Errorf("%q was logged %d times", message, got)
		}
	}
	for _, entry := range m.logs.All() {
		for key, value := range entry.ContextMap() {
			for _, secret := range []string{kind.first, kind.second, kind.invalid} {
				if text, is := value.(string); is && strings.Contains(text, secret) {
					m.t.Errorf("%s: %s has the secret: %q", entry.Message, key, text)
				}
			}
		}
	}
}

// TestHalfWrittenSecrets does not take what only one look has found.
func TestHalfWrittenSecrets(t *testing.T) {
	m := newMount(t)
	inForce := prepareKey(m, m.placeholder("key", "first-key"))
	for _, text := range []string{"", "seco", "second-key"} {
		m.write("key", text)
		m.app.lookAtSecrets(t.Context())
		if got := inForce(); got != "first-key" || len(m.app.SecretTroubles()) > 0 {
			t.Errorf("after %q: %q, %q", text, got, m.app.SecretTroubles())
		}
	}
	m.app.lookAtSecrets(t.Context())
	if got := inForce(); got != "second-key" {
		t.Errorf("%q is in force", got)
	}
}

// TestRetiredAuth lets calls in by the old value for one more minute.
func TestRetiredAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMount(t)
		user, password := m.placeholder("user", "ory"), m.placeholder("password", "first")
		h := &Webhook{app: m.app, Auth: []Auth{
			{Type: "header", Name: "X-Hook-Key", Value: "fixed"}, {Type: "basic", Name: user, Value: password},
		}}
		m.check(h.provisionAuth())
		expect := func(what string, first, second bool) {
			t.Helper()
			m.look()
			if lets(h, "basic", "ory", "first") != first || lets(h, "basic", "kratos", "second") != second ||
				lets(h, "basic", "ory", "second") || !lets(h, "header", "X-Hook-Key", "fixed") {
				t.Errorf("%s: other calls are let in", what)
			}
		}
		expect("before", true, false)
		m.swap(map[string]string{"user": "kratos", "password": "second"})
		expect("at once", true, true)
		time.Sleep(time.Minute - time.Second)
		expect("after 59 seconds", true, true)
		time.Sleep(2 * time.Second)
		expect("after 61 seconds", false, true)
	})
}

// TestOneDomainHasOneKey refuses files that give a domain two keys, until they agree.
func TestOneDomainHasOneKey(t *testing.T) {
	m := newMount(t)
	first := prepareKey(m, m.placeholder("a", "first-key"))
	for name, domain := range map[string]string{"b": "example.com", "c": "example.org"} {
		key, err := newSecret("api_key", m.placeholder(name, "first-key"))
		m.check(err)
		m.check(m.app.registerDomains([]string{domain}, key))
	}
	expect := func(what, com, org string, troubles int) {
		t.Helper()
		m.look()
		if first() != com || m.app.accountNames()["example.org"] != org || len(m.app.SecretTroubles()) != troubles {
			t.Errorf("%s: %v, %q", what, m.app.accountNames(), m.app.SecretTroubles())
		}
	}
	m.write("a", "second-key")
	m.write("c", "other-key")
	expect("one of two", "first-key", "other-key", 1)
	if got := m.app.SecretTroubles()[0]; !strings.Contains(got, "example.com would have two different api_keys") ||
		!strings.Contains(got, m.path("a")) {
		t.Errorf("the trouble is %q", got)
	}
	m.write("b", "third-key")
	expect("two of two, and they differ", "first-key", "other-key", 2)
	m.write("b", "second-key")
	expect("both", "second-key", "other-key", 0)
	if len(m.app.clients) != 2 {
		t.Errorf("there are %d clients", len(m.app.clients))
	}
}

// TestOutboxInCharge changes nothing while the outbox has the settings of another configuration.
func TestOutboxInCharge(t *testing.T) {
	m := newMount(t)
	inForce := prepareDSN(m, m.placeholder("password", "first"))
	m.app.pooled = &pooledOutbox{configuredBy: new(App)}
	m.write("password", "second")
	m.look()
	if got := inForce(); got != "first" || len(m.app.SecretTroubles()) > 0 {
		t.Errorf("%q is in force, %q", got, m.app.SecretTroubles())
	}
	if err := m.app.reconfigure(t.Context(), func(*outbox.Settings) {}); !errors.Is(err, errNotInCharge) {
		t.Errorf("got %v", err)
	}
}

// TestFollowingSurvivesAPanic goes on after one, and logs no value of it.
func TestFollowingSurvivesAPanic(t *testing.T) {
	m := newMount(t)
	inForce := prepareKey(m, m.placeholder("key", "first-key"))
	m.app.followed.followers = append(m.app.followed.followers, nil)
	m.write("key", "second-key")
	m.look()
	if got := inForce(); got != "second-key" || m.logs.FilterMessage("following secrets crashed").Len() != 2 {
		t.Errorf("%q is in force, logged %v", got, m.logs.All())
	}
}

// TestKeyEnding shows nothing of short keys.
func TestKeyEnding(t *testing.T) {
	for _, test := range []struct{ key, mail, list string }{
		{"", "", ""},
		{"12345678901", "", ""},
		{"123456789012", "9012", "9012"},
		{"0123456789abcdef-us21", "us21", "cdef-us21"},
		{"0123456789-us21", "us21", ""},
	} {
		if mail, list := keyEnding(test.key), listKeyEnding(test.key); mail != test.mail || list != test.list {
			t.Errorf("%q shows %q and %q", test.key, mail, list)
		}
	}
}
