// Package edgetest runs a Caddy with hooks for tests. Its Mandrill is a sandbox. A process has one Caddy: tests that
// run
// one must not be parallel, and packages of tests may run side by side.
package edgetest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// Edge is a running Caddy with hooks.
type Edge struct {
	T *testing.T
	// URL is where the hooks are.
	URL string
	// Address is where Caddy listens.
	Address string
	// Mandrill is the handler of the Mandrill API. It is Sandbox unless a test replaces it.
	Mandrill http.Handler
	Sandbox  *sandbox.Sandbox
	// Base is the URL of the Mandrill API.
	Base string
	// AppLines are lines of the app's block beside those that every edge has.
	AppLines string

	folder  string
	logFile string
}

const (
	// APIKey is the key of Mandrill, and HookKey what the header X-Hook-Key must have.
	APIKey  = "s3cret-api-key"
	HookKey = "s3cret-hook-key"
	// Minimal is a template, and Ada a ctx for it.
	Minimal = `function(ctx) { message: {
		from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi',
	} }`
	Ada = `{"identity":{"traits":{"email":"ada@example.net"}},"flow":{"id":"f1"}}`
)

// New runs a Caddy whose hooks have delivery sync, and the lines beside those that every hook needs.
func New(t *testing.T, template, lines string) *Edge {
	t.Helper()
	return NewWith(t, template, "delivery sync\n"+lines, "")
}

// NewWith runs a Caddy with the lines in the hook's and in the app's block.
func NewWith(t *testing.T, template, lines, appLines string) *Edge {
	t.Helper()
	e := Prepare(t, template)
	e.AppLines = appLines
	e.Run(e.Caddyfile(lines))
	return e
}

// NewWithAdmin runs a Caddy with an admin endpoint, and returns its address.
func NewWithAdmin(t *testing.T, template string) (*Edge, string) {
	t.Helper()
	e := Prepare(t, template)
	e.Run(e.Caddyfile(""))
	address := freeAddress(t)
	if err := e.Load(strings.Replace(e.Caddyfile(""), "admin off", "admin "+address, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Stopping Caddy leaves the admin endpoint open.
		if err := e.Load(e.Caddyfile("")); err != nil && !strings.Contains(err.Error(), "undelivered") {
			t.Error(err)
		}
	})
	return e, address
}

// Prepare returns an edge that lacks only its configuration.
func Prepare(t *testing.T, template string) *Edge {
	t.Helper()
	e := &Edge{T: t, Sandbox: sandbox.New(), folder: t.TempDir(), Address: freeAddress(t)}
	e.Mandrill = e.Sandbox
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/metadata/list") { // every start asks this, and tests set Mandrill after it
			e.Sandbox.ServeHTTP(w, r)
			return
		}
		e.Mandrill.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	e.Base = server.URL + "/api/1.0"
	e.URL = "http://" + e.Address + "/hooks/welcome"
	e.logFile = filepath.Join(e.folder, "caddy.log")
	e.Write("t.jsonnet", template)
	t.Setenv("MANDRILL_API_KEY", APIKey)
	t.Setenv("HOOK_KEY", HookKey)
	return e
}

// MakeIndexes makes the metadata fields of entries searchable, as caddy mailchimp setup does.
func (e *Edge) MakeIndexes() {
	e.T.Helper()
	client, err := mandrill.New(APIKey, mandrill.WithBaseURL(e.Base))
	if err != nil {
		e.T.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for _, field := range caddymodule.MetadataFields {
		if _, err := client.AddMetadataField(e.T.Context(), field); err != nil {
			e.T.Fatal(err)
		}
	}
}

// lastPort is the last port that a test of this process has got.
var lastPort atomic.Int64

// freeAddress returns an address that nothing listens at. Its port is none of those that systems give to connections:
// one of these would be taken again at once.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, ports = 10_000, 20_000
	lastPort.CompareAndSwap(0, int64(os.Getpid())*100) // packages are tested side by side
	for range ports {
		port := first + lastPort.Add(1)%ports
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port)) // as Caddy does
		if err != nil {
			continue
		}
		_ = listener.Close() // nobody has connected
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	t.Fatal("there is no free port")
	return ""
}

// Run runs a Caddy until the test ends.
func (e *Edge) Run(caddyfile string) {
	e.T.Helper()
	if err := e.Load(caddyfile); err != nil {
		e.T.Fatal(err)
	}
	e.T.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			e.T.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		e.checkSecrets()
	})
}

// Caddyfile returns the edge's configuration, with lines in the hook's block.
func (e *Edge) Caddyfile(lines string) string {
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
`, e.logFile, e.Base, e.Path("outbox.db"), e.AppLines, e.Address, e.Path("t.jsonnet"), lines)
}

// Load makes a Caddyfile the running configuration.
func (e *Edge) Load(caddyfile string) error {
	e.T.Helper()
	config, err := Adapt([]byte(caddyfile))
	if err != nil {
		return err
	}
	// The server before closes its connections: none is to be used again.
	defer http.DefaultClient.CloseIdleConnections()
	return caddy.Load(config, true)
}

// Adapt returns the JSON configuration that a Caddyfile makes.
func Adapt(caddyfile []byte) ([]byte, error) {
	options := map[string]any{"filename": "Caddyfile"}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(caddyfile, options)
	return adapted, err
}

// Path returns the path of a file in the edge's folder.
func (e *Edge) Path(name string) string { return filepath.Join(e.folder, name) }

// Write writes a file in the edge's folder.
func (e *Edge) Write(name, text string) {
	e.T.Helper()
	if err := os.WriteFile(e.Path(name), []byte(text), 0o600); err != nil {
		e.T.Fatal(err)
	}
}
