package caddymodule_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// newSecretsEdge runs a Caddy whose secrets are in files: api_key, and hook_key in an auth line.
func newSecretsEdge(t *testing.T, apiKey, lines, appLines string) (*edgetest.Edge, string) {
	t.Helper()
	e := edgetest.Prepare(t, edgetest.Minimal)
	e.AppLines = appLines
	e.Write("api_key", apiKey+"\n")
	e.Write("hook_key", edgetest.HookKey+"\n")
	caddyfile := strings.NewReplacer(
		"{env.MANDRILL_API_KEY}", "{file."+e.Path("api_key")+"}",
		"{env.HOOK_KEY}", `"Bearer {file.`+e.Path("hook_key")+`}"`,
	).Replace(e.Caddyfile(lines))
	e.Run(caddyfile)
	return e, caddyfile
}

// bearer is what the edge's auth line asks for.
func bearer(key string) func(*http.Request) { return edgetest.Header("X-Hook-Key", "Bearer "+key) }

func waitForTrouble(t *testing.T, text string) {
	t.Helper()
	edgetest.WaitUntil(t, "no trouble has "+text, func() bool {
		status := admin.StatusOf(t.Context(), caddymodule.Running())
		return strings.Contains(strings.Join(status.Troubles, "\n"), text)
	})
}

func waitForNoTrouble(t *testing.T) {
	t.Helper()
	edgetest.WaitUntil(t, "there is a trouble", func() bool {
		return len(admin.StatusOf(t.Context(), caddymodule.Running()).Troubles) == 0
	})
}

// TestInvalidKeyIsReplaced ends a hold of an invalid key by a change of its file alone.
func TestInvalidKeyIsReplaced(t *testing.T) {
	e, _ := newSecretsEdge(t, "invalid-s3cret-old1", "", "")
	id := e.Post(edgetest.Ada, bearer(edgetest.HookKey)).Entry()
	waitForTrouble(t, "Invalid_Key")
	if got := caddymodule.Running().KeyEndings()["example.com"]; got != "old1" {
		t.Errorf("the key in use ends in %q", got)
	}
	e.Write("api_key", "a s3cret key")
	waitForTrouble(t, "api_key: the new value of {file."+e.Path("api_key")+"} is refused: ")
	if status := admin.StatusOf(t.Context(), caddymodule.Running()); status.Flows || status.Keys["example.com"] != "old1" {
		t.Errorf("the status is %+v", status)
	}
	e.Write("api_key", "valid-s3cret-new1")
	e.WaitState(id, outbox.Sent)
	waitForNoTrouble(t)
	if got := caddymodule.Running().KeyEndings()["example.com"]; got != "new1" {
		t.Errorf("the key in use ends in %q", got)
	}
	if got := strings.Count(e.Logs(), "changed secret is not in force"); got != 1 {
		t.Errorf("the trouble was logged %d times", got)
	}
}

// TestHoldOfOldKey does not hold the new one.
func TestHoldOfOldKey(t *testing.T) {
	e, _ := newSecretsEdge(t, "s3cret-key-old1", "", "")
	if err := e.Sandbox.Fail(sandbox.Failure{Status: 429, RetryAfter: 3000}); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada, bearer(edgetest.HookKey)).Entry()
	e.WaitForLog("sender is held")
	e.Write("api_key", "s3cret-key-new1")
	e.WaitState(id, outbox.Sent)
	if held := edgetest.Outbox().HoldsBySender(); len(held) > 0 {
		t.Errorf("the new key is held: %+v", held)
	}
	if holds := edgetest.Outbox().Holds(); len(holds) != 1 {
		t.Errorf("the holds are %+v", holds)
	}
}

// TestSecretTroubleStopsNoMail keeps the value in force, and shows the trouble in the status.
func TestSecretTroubleStopsNoMail(t *testing.T) {
	e, caddyfile := newSecretsEdge(t, edgetest.APIKey, "delivery sync", "")
	e.Write("api_key", "")
	e.Write("hook_key", "s3cret-other")
	waitForTrouble(t, "api_key: {file."+e.Path("api_key")+"} is empty")
	e.WaitForLog(`"msg":"secret changed","directive":"auth header","placeholder":"{file.` + e.Path("hook_key") + `}"`)
	for _, key := range []string{edgetest.HookKey, "s3cret-other"} {
		body := strings.Replace(edgetest.Ada, "f1", key, 1)
		if got := e.Post(body, bearer(key)); got.Status != http.StatusNoContent {
			t.Errorf("%s: %+v", key, got)
		}
	}
	if status := admin.StatusOf(t.Context(), caddymodule.Running()); !status.Flows || len(status.Stopped) > 0 {
		t.Errorf("the status is %+v", status)
	}
	// A load is stricter: it has no value before.
	if err := e.Load(caddyfile); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("loaded: %v", err)
	}
	e.Write("api_key", edgetest.APIKey)
	waitForNoTrouble(t)
}

// TestOutboxKeyIsFollowed rotates the key in files.
func TestOutboxKeyIsFollowed(t *testing.T) {
	first, second, third := outbox.NewKey(), outbox.NewKey(), outbox.NewKey()
	e := edgetest.Prepare(t, edgetest.Minimal)
	e.Write("new", first)
	e.Write("old", first)
	e.AppLines = fmt.Sprintf("keep_content\noutbox_key {file.%s} {file.%s}", e.Path("new"), e.Path("old"))
	e.Run(e.Caddyfile(""))
	id := e.WaitState(e.Post(edgetest.Ada).Entry(), outbox.Sent).ID
	opens := func() {
		t.Helper()
		entry, err := edgetest.Outbox().Get(t.Context(), id)
		if err != nil || !strings.Contains(string(entry.Content), "ada@") {
			t.Errorf("the content is %q, %v", entry.Content, err)
		}
	}
	e.Write("new", "short")
	waitForTrouble(t, "the new value of {file."+e.Path("new")+"} is refused: outbox_key must be 32 random bytes")
	e.Write("new", second)
	waitForNoTrouble(t)
	opens()
	e.Write("old", second)
	e.WaitForLog(`"placeholder":"{file.` + e.Path("old") + `}"`)
	e.Write("old", third)
	e.Write("new", third)
	waitForTrouble(t, "none of the configured outbox_keys opens this outbox")
	opens()
	// The outbox opens with the second key alone.
	e.AppLines = "keep_content\noutbox_key " + second
	if err := e.Load(e.Caddyfile("")); err != nil {
		t.Fatal(err)
	}
	opens()
}

// TestWebhookKeyIsFollowed takes events by the new key alone.
func TestWebhookKeyIsFollowed(t *testing.T) {
	e := eventsEdge{Edge: edgetest.Prepare(t, edgetest.Minimal)}
	e.Write("webhook_key", "s3cret-first")
	e.Run(strings.Replace(e.Caddyfile(""), "\tmetrics /metrics\n", "\tmetrics /metrics\n\tmailchimp_events /mandrill {\n"+
		"\t\turl "+webhookURL+"\n\t\tkey other {file."+e.Path("webhook_key")+"}\n\t}\n", 1))
	e.Write("webhook_key", "s3cret-second")
	e.WaitForLog("secret changed")
	for key, want := range map[string]int{"other": 200, "s3cret-second": 200, "s3cret-first": 401} {
		if got := e.postEvents(key, "[]"); got.Status != want {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

// passwords stands in for a PostgreSQL that refuses everybody, and notes their passwords.
type passwords struct {
	net.Listener
	mu    sync.Mutex
	heard []string
}

func listenForPasswords(t *testing.T) *passwords {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &passwords{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.serve(conn)
		}
	}()
	return p
}

func (p *passwords) serve(conn net.Conn) {
	defer conn.Close()
	length := make([]byte, 4)
	read := func() []byte {
		if _, err := io.ReadFull(conn, length); err != nil {
			return nil
		}
		body := make([]byte, binary.BigEndian.Uint32(length)-4)
		_, _ = io.ReadFull(conn, body)
		return body
	}
	startup := read()
	if len(startup) < 4 {
		return // the client has ended
	}
	// AuthenticationCleartextPassword
	_, _ = conn.Write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 3})
	_, _ = conn.Read(make([]byte, 1)) // the kind of the message: a password
	user, _, _ := bytes.Cut(bytes.TrimPrefix(startup[4:], []byte("user\x00")), []byte{0})
	password := bytes.Trim(read(), "\x00")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, fmt.Sprintf("%s:%s", user, password))
}

func (p *passwords) has(login string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.heard, " "), login)
}

// TestPasswordIsFollowed logs in at the database by what the files have now.
func TestPasswordIsFollowed(t *testing.T) {
	server := listenForPasswords(t)
	e := edgetest.Prepare(t, edgetest.Minimal)
	e.Write("user", "caddy")
	e.Write("password", "s3cret-first")
	e.Write("host", server.Addr().String())
	dsn := fmt.Sprintf("postgres://{file.%s}:{file.%s}@{file.%s}/ory?sslmode=disable",
		e.Path("user"), e.Path("password"), e.Path("host"))
	e.Run(strings.Replace(e.Caddyfile("delivery sync"), "outbox sqlite "+e.Path("outbox.db"), "outbox postgres "+dsn, 1))
	waitFor := func(login string) {
		t.Helper()
		edgetest.WaitUntil(t, "nobody logs in as "+login, func() bool { return server.has(login) })
	}
	waitFor("caddy:s3cret-first")
	e.Write("host", "127.0.0.1:1")
	waitForTrouble(t, "is refused: the DSN names another host or database")
	e.Write("host", server.Addr().String())
	e.Write("user", "kratos")
	e.Write("password", "s3cret-second")
	waitFor("kratos:s3cret-second")
}
