package caddymodule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

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

// TestReadableSecrets warns of each secret whose file every user can read, and of no other.
func TestReadableSecrets(t *testing.T) {
	folder, err := os.MkdirTemp("", "secrets") // that of t.TempDir may be closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	for _, kind := range kindsOfSecrets {
		for _, mode := range []os.FileMode{0o640, 0o644} {
			m := newMount(t)
			file := filepath.Join(folder, "secret")
			m.check(os.WriteFile(file, []byte(kind.first), 0o600))
			m.check(errors.Join(os.Chmod(folder, 0o755), os.Chmod(file, mode)))
			kind.prepare(m, "{file."+file+"}")
			warned := m.logs.FilterMessageSnippet("every user of this machine can read").All()
			if mode == 0o640 && len(warned) == 0 {
				continue
			}
			if mode == 0o640 || len(warned) != 1 || warned[0].ContextMap()["directive"] != kind.option ||
				warned[0].ContextMap()["placeholder"] != "{file."+file+"}" {
				t.Errorf("%s, %o: %v", kind.name, mode, warned)
			}
		}
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
		if mail, list := KeyEnding(test.key), listKeyEnding(test.key); mail != test.mail || list != test.list {
			t.Errorf("%q shows %q and %q", test.key, mail, list)
		}
	}
}
