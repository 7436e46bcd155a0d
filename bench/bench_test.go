// Package bench measures speed. See README.md for how to run it and for the last figures.
package bench

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func read(b *testing.B, file string) []byte {
	b.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkHook posts hooks to a Caddy in this process, which sends to the sandbox's core.
func BenchmarkHook(b *testing.B) {
	mandrill := httptest.NewServer(sandbox.New())
	defer mandrill.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	auto_https off
	persist_config off
	log {
		output discard
	}
	mailchimp {
		api_key key
		sender_domain example.com
		api_base %s/api/1.0
		outbox off
	}
}
http://%s {
	mailchimp_hook ../examples/welcome.jsonnet {
		auth header X-Hook-Key secret
		delivery sync
	}
}
`, mandrill.URL, address), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := caddy.Stop(); err != nil {
			b.Error(err)
		}
	}()
	body := string(read(b, "../examples/welcome.ctx.json"))
	n := 0
	for b.Loop() {
		n++
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hook-Key", "secret")
		r.Header.Set("Idempotency-Key", fmt.Sprint(n))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			b.Fatal(answer.Status)
		}
	}
}
