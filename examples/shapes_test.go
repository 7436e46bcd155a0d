package examples_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// changed is a ctx of these examples with other values at the paths, such as "identity.traits".
func changed(t *testing.T, file string, values map[string]string) any {
	t.Helper()
	ctx := read(t, file)
	for path, value := range values {
		keys := strings.Split(path, ".")
		parent := ctx.(map[string]any)
		for _, key := range keys[:len(keys)-1] {
			parent = parent[key].(map[string]any)
		}
		last := keys[len(keys)-1]
		if value == "" {
			delete(parent, last)
			continue
		}
		var decoded any
		if err := json.Unmarshal([]byte(value), &decoded); err != nil {
			t.Fatal(err)
		}
		parent[last] = decoded
	}
	return ctx
}

// made is the mail that a template makes, or nil where it cancels.
func made(t *testing.T, template string, ctx any) *mail {
	t.Helper()
	request := message(t, template, ctx)
	if request == nil {
		return nil
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var got mail
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	return &got
}

// TestLoginNamesKnownBrowsers has User-Agents of real browsers, of liars, and of shapes that Ory doesn't send.
func TestLoginNamesKnownBrowsers(t *testing.T) {
	const unknown = "unknown"
	for _, test := range []struct{ name, headers, want string }{
		{"Firefox", `{"User-Agent":["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"]}`, "Firefox, Linux"},
		{"Chrome", `{"User-Agent":["Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"]}`, "Chrome, Android"},
		{"Edge", `{"User-Agent":["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0"]}`, "Edge, Windows"},
		{"Safari", `{"User-Agent":["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"]}`, "Safari, macOS"},
		{"iPhone", `{"User-Agent":["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.0.0 Mobile/15E148 Safari/604.1"]}`, "Chrome, iOS"},
		{"Opera", `{"User-Agent":["Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0"]}`, "Opera, Windows"},
		{"system alone", `{"User-Agent":["Club/3 (Android)"]}`, "Android"},
		{"advertisement", `{"User-Agent":["Win at https://evil.example/ now"]}`, unknown},
		{"advertisement with a browser", `{"User-Agent":["Win at evil.example Firefox/1"]}`, "Firefox"},
		{"endless", `{"User-Agent":["` + strings.Repeat("x", 100_000) + `"]}`, unknown},
		{"string", `{"User-Agent":"Mozilla/5.0 (Windows NT 10.0) Firefox/128.0"}`, "Firefox, Windows"},
		{"number", `{"User-Agent":[1]}`, unknown},
		{"empty", `{"User-Agent":[]}`, unknown},
		{"null", `{"User-Agent":null}`, unknown},
		{"none", `{}`, unknown},
		{"no headers", `null`, unknown},
		{"headers of another kind", `["User-Agent"]`, unknown},
		{"headers that weren't forwarded", ``, unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := made(t, "ory/login.jsonnet", changed(t, "ory/login.ctx.json", map[string]string{"request_headers": test.headers}))
			if parts := strings.Split(got.Message.Text, "\n\n"); parts[2] != test.want {
				t.Errorf("got %.100q", parts[2])
			}
			if strings.Contains(got.Message.HTML, "evil") {
				t.Error("an advertisement is in the mail")
			}
		})
	}
}
