// Package bench measures speed. See README.md for how to run it and for the last figures.
package bench

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-jsonnet"

	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// templates are those of the examples, and those of a folder beside the repository where it is there.
func templates(b *testing.B) map[string]string {
	b.Helper()
	found := map[string]string{"examples/welcome": "../examples/welcome.ctx.json"}
	if _, err := os.Stat("../../shared/bench"); err == nil {
		for _, name := range []string{"welcome", "welcome_plus", "minimal"} {
			found["../shared/bench/"+name] = "../../shared/bench/ctx.json"
		}
	}
	return found
}

func read(b *testing.B, file string) []byte {
	b.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkRender compares with go-jsonnet as Ory uses it: a new machine for each evaluation, ctx as code.
func BenchmarkRender(b *testing.B) {
	for name, ctxFile := range templates(b) {
		file, ctx := filepath.Join("..", name+".jsonnet"), read(b, ctxFile)
		b.Run(filepath.Base(filepath.Dir(name))+"_"+filepath.Base(name)+"/plain", func(b *testing.B) {
			for b.Loop() {
				vm := jsonnet.MakeVM()
				vm.TLACode("ctx", string(ctx))
				if _, err := vm.EvaluateFile(file); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(filepath.Base(filepath.Dir(name))+"_"+filepath.Base(name)+"/ours", func(b *testing.B) {
			template, err := render.Load(file, render.Options{Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var data any
				if err := json.Unmarshal(ctx, &data); err != nil {
					b.Fatal(err)
				}
				if _, err := template.Render(b.Context(), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
