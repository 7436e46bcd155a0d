package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
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
