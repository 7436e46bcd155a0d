package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// edge is a running Caddy with hooks, whose Mandrill is a sandbox.
type edge struct {
	t *testing.T
	// url is where the hooks are.
	url     string
	address string
	// mandrill is the handler that stands for the Mandrill API, and sandbox what it is by default.
	mandrill http.Handler
	sandbox  *sandbox.Sandbox
	base     string
	folder   string
	logFile  string
	appLines string
}

const (
	apiKey   = "s3cret-api-key"
	hookKey  = "s3cret-hook-key"
	minimal  = `function(ctx) { message: { from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi' } }`
	ada      = `{"identity":{"traits":{"email":"ada@example.net"}},"flow":{"id":"f1"}}`
	jsonType = "application/json"
)

// newEdge runs a Caddy whose hooks have delivery sync. The hook's block has the lines beside those that
// every hook needs.
func newEdge(t *testing.T, template, lines string) *edge {
	t.Helper()
	return newEdgeWith(t, template, "delivery sync\n"+lines, "")
}

// newEdgeWith runs a Caddy with the lines in the hook's and in the app's block.
func newEdgeWith(t *testing.T, template, lines, appLines string) *edge {
	t.Helper()
	e := prepareEdge(t, template)
	e.appLines = appLines
	e.run(e.caddyfile(lines))
	return e
}

// prepareEdge has all that a Caddy needs, but for its configuration.
func prepareEdge(t *testing.T, template string) *edge {
	t.Helper()
	e := &edge{t: t, sandbox: sandbox.New(), folder: t.TempDir()}
	e.mandrill = e.sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.mandrill.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	e.base = server.URL + "/api/1.0"
	e.logFile = filepath.Join(e.folder, "caddy.log")
	e.write("t.jsonnet", template)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = listener.Addr().String()
	e.url = "http://" + e.address + "/hooks/welcome"
	listener.Close()
	t.Setenv("MANDRILL_API_KEY", apiKey)
	t.Setenv("HOOK_KEY", hookKey)
	return e
}

// run runs a Caddy until the test ends.
func (e *edge) run(caddyfile string) {
	e.t.Helper()
	if err := e.load(caddyfile); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			e.t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		e.checkSecrets()
	})
}

func (e *edge) caddyfile(lines string) string {
	return fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	grace_period 1s
	log {
		output file %s {
			roll_disabled
		}
		format json
		level DEBUG
	}
	mailchimp {
		api_key {env.MANDRILL_API_KEY}
		sender_domain example.com
		api_base %s
		outbox sqlite %s
		%s
	}
}
http://%s {
	metrics /metrics
	mailchimp_hook /hooks/* {
		template %s
		auth header X-Hook-Key {env.HOOK_KEY}
		%s
	}
}
`, e.logFile, e.base, e.path("outbox.db"), e.appLines, e.address, e.path("t.jsonnet"), lines)
}

// load makes a Caddyfile the running configuration.
func (e *edge) load(caddyfile string) error {
	e.t.Helper()
	config, err := adapt([]byte(caddyfile))
	if err != nil {
		return err
	}
	// The server before closes its connections: none is to be used again.
	defer http.DefaultClient.CloseIdleConnections()
	return caddy.Load(config, true)
}

func (e *edge) path(name string) string { return filepath.Join(e.folder, name) }

func (e *edge) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// answered is what a hook was told.
type answered struct {
	status int
	header http.Header
	body   string
}

// id returns the number of the error form's message.
func (a answered) id() int {
	var form struct {
		Messages []struct {
			Pointer  string `json:"instance_ptr"`
			Messages []struct {
				ID      int               `json:"id"`
				Text    string            `json:"text"`
				Type    string            `json:"type"`
				Context map[string]string `json:"context"`
			} `json:"messages"`
		} `json:"messages"`
	}
	if json.Unmarshal([]byte(a.body), &form) != nil || len(form.Messages) != 1 || len(form.Messages[0].Messages) != 1 {
		return 0
	}
	message := form.Messages[0].Messages[0]
	if message.Text == "" || message.Type != "error" || message.Context["reference"] == "" || !strings.HasPrefix(form.Messages[0].Pointer, "#/") {
		return 0
	}
	return message.ID
}

// post calls the hook as Ory does, but for what change changes: up to three times where the connection
// breaks, as it may in a reload.
func (e *edge) post(body string, change ...func(*http.Request)) answered {
	e.t.Helper()
	for attempt := 1; ; attempt++ {
		r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url, strings.NewReader(body))
		if err != nil {
			e.t.Fatal(err)
		}
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Hook-Key", hookKey)
		for _, change := range change {
			change(r)
		}
		got, err := e.do(r)
		if err == nil {
			return got
		}
		if attempt == 3 {
			e.t.Error(err)
			return got
		}
		// Others that idle were closed too.
		http.DefaultClient.CloseIdleConnections()
	}
}

func (e *edge) do(r *http.Request) (answered, error) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answered{answer.StatusCode, answer.Header, string(body)}, err
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}
}

func (e *edge) logs() string {
	e.t.Helper()
	data, err := os.ReadFile(e.logFile)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(data)
}

// waitForLog returns when the log has the text.
func (e *edge) waitForLog(text string) {
	e.t.Helper()
	for !strings.Contains(e.logs(), text) {
		select {
		case <-e.t.Context().Done():
			e.t.Fatal("the log never had it")
		default:
		}
	}
}

// checkSecrets looks through all that was logged at the level DEBUG.
func (e *edge) checkSecrets() {
	e.t.Helper()
	for _, secret := range []string{apiKey, hookKey, "ada@example.net", "s3cret"} {
		for line := range strings.Lines(e.logs()) {
			if strings.Contains(line, secret) {
				e.t.Errorf("%q is in the log: %s", secret, line)
			}
		}
	}
}
