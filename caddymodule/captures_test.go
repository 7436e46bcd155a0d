package caddymodule_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// capture is a request that a real Kratos sent.
type capture struct {
	Request struct {
		Method, Path string
		Headers      map[string]string
	} `json:"request"`
	Body    map[string]any `json:"body"`
	RawBody string         `json:"raw_body"`
}

func readCapture(t *testing.T, file string) (c capture) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// captureTemplate sends to the courier's recipient, to the identity's address, or to nobody.
const captureTemplate = `
	function(ctx)
		local addresses(identity) = [a.value for a in std.get(identity, 'verifiable_addresses', []) if a.via == 'email'];
		local identity = if 'identity' in ctx then ctx.identity else {};
		local to =
			if 'recipient' in ctx then (if std.get(ctx, 'message_type', 'email') == 'email' then [ctx.recipient] else [])
			else addresses(identity);
		if to == [] then error 'cancel' else {
			message: {
				from_email: 'hello@example.com', subject: std.get(ctx, 'subject', 'Hello'), text: std.get(ctx, 'body', 'Hello'),
				to: [{ email: to[0], name: std.get(std.get(std.get(identity, 'traits', {}), 'name', {}), 'last', '') }],
			},
		}`

// TestCaptures posts what a real Kratos sent.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../../shared/ory/captures/*.json")
	if err != nil || len(files) == 0 {
		t.Skip("the captured requests are not here")
	}
	e := edgetest.New(t, captureTemplate, "")
	posted, mails := 0, 0
	for _, file := range files {
		if filepath.Base(file) == "INDEX.json" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			e.T = t
			capture := readCapture(t, file)
			want, sends := http.StatusNoContent, hasAddress(capture.Body)
			switch {
			case capture.Request.Method != http.MethodPost:
				want, sends = http.StatusMethodNotAllowed, false
			case capture.Request.Headers["Content-Type"] != "application/json":
				want, sends = http.StatusUnsupportedMediaType, false
			}
			got := e.Post(capture.RawBody, func(r *http.Request) {
				r.Method = capture.Request.Method
				r.URL.Path = "/hooks" + capture.Request.Path
				for _, name := range []string{"Content-Type", "User-Agent", "Ory-Webhook-Request-Id"} {
					if value := capture.Request.Headers[name]; value != "" {
						r.Header.Set(name, value)
					}
				}
			})
			posted++
			if sends && got.Header.Get("Outbox-Duplicate") == "" {
				mails++
			}
			if got.Status != want {
				t.Errorf("got %+v, want %d", got, want)
			}
			if len(e.Sandbox.Mails()) != mails {
				t.Errorf("%d mails, want %d", len(e.Sandbox.Mails()), mails)
			}
		})
	}
	e.T = t
	if posted == 0 || mails == 0 {
		t.Errorf("posted %d, %d mails", posted, mails)
	}
	t.Logf("posted %d, %d mails", posted, mails)
}

func hasAddress(body map[string]any) bool {
	if _, courier := body["recipient"]; courier {
		return body["message_type"] != "sms"
	}
	identity, _ := body["identity"].(map[string]any)
	addresses, _ := identity["verifiable_addresses"].([]any)
	for _, address := range addresses {
		if address.(map[string]any)["via"] == "email" {
			return true
		}
	}
	return false
}
