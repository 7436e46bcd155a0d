package examples_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
)

// bodies stand on Ory's side.
var bodies = []string{"ory/forward.jsonnet", "ory/courier-body.jsonnet"}

// bodyFor returns the body of the calls for a template.
func bodyFor(template string) string {
	if strings.Contains(template, "courier") {
		return "ory/courier-body.jsonnet"
	}
	return "ory/forward.jsonnet"
}

// onOrysSide evaluates a body as Ory does.
func onOrysSide(t *testing.T, body string, ctx any) (value map[string]any) {
	t.Helper()
	encoded, err := json.Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	vm := jsonnet.MakeVM()
	vm.TLACode("ctx", string(encoded))
	got, err := vm.EvaluateFile(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

var comments = regexp.MustCompile(`(?m)^//.*\n`)

// TestForwardInTheReadme compares the README's code, and the base64 of it, with forward.jsonnet.
func TestForwardInTheReadme(t *testing.T) {
	file, err := os.ReadFile("ory/forward.jsonnet")
	if err != nil {
		t.Fatal(err)
	}
	want := comments.ReplaceAllString(string(file), "")
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```jsonnet\n"+want+"```") {
		t.Error("the README shows other code")
	}
	encoded := regexp.MustCompile(`base64://([A-Za-z0-9+/=]+)`).FindAllSubmatch(readme, -1)
	if len(encoded) != 2 {
		t.Errorf("the README has %d bodies in base64", len(encoded))
	}
	for _, found := range encoded {
		decoded, err := base64.StdEncoding.DecodeString(string(found[1]))
		if err != nil || string(decoded) != want {
			t.Errorf("the README has %s, %v; put this there: %s",
				decoded, err, base64.StdEncoding.EncodeToString([]byte(want)))
		}
	}
}

// secretsIn plants secrets where Ory has them in a ctx, or may have them in a later version. It returns them and those
// that were there already.
func secretsIn(ctx map[string]any) (found []string) {
	const planted = "planted-s3cret"
	cookies, _ := ctx["request_cookies"].(map[string]any)
	for _, value := range cookies {
		if value, ok := value.(string); ok && len(value) > 8 {
			found = append(found, value)
		}
	}
	headers, ok := ctx["request_headers"].(map[string]any)
	if !ok {
		headers = make(map[string]any)
		ctx["request_headers"] = headers
	}
	for _, name := range []string{
		"Ory-Base-Url-Rewrite-Token", "Cookie", "Authorization", "X-Session-Token", "Referer", "Origin", "X-New",
	} {
		headers[name] = []any{planted}
	}
	if data, ok := ctx["template_data"].(map[string]any); ok {
		data["request_url"] = planted
	}
	flow, _ := ctx["flow"].(map[string]any)
	if flow == nil {
		flow = make(map[string]any)
		ctx["flow"] = flow
	}
	if ui, ok := flow["ui"].(map[string]any); ok {
		token := regexp.MustCompile(`"csrf_token","[^}]*"value":"([^"]+)"`)
		for _, match := range token.FindAllStringSubmatch(encode(ui), -1) {
			found = append(found, match[1])
		}
	}
	for _, name := range []string{"oauth2_login_challenge", "session_token", "session_token_exchange_code", "return_to"} {
		flow[name] = planted
	}
	flow["oauth2_login_request"] = map[string]any{"request_url": planted}
	flow["continue_with"] = []any{map[string]any{"action": "set_ory_session_token", "ory_session_token": planted}}
	flow["request_url"], ctx["request_url"], ctx["session"] = planted, planted, map[string]any{"token": planted}
	ctx["request_cookies"] = map[string]any{"session": planted}
	return append(found, planted)
}

func encode(value any) string {
	encoded, _ := json.Marshal(value)
	return string(encoded)
}

// TestBodiesForwardNoSecret has no cookie, token or key pass the bodies on Ory's side.
func TestBodiesForwardNoSecret(t *testing.T) {
	files := glob(t, "ory/*.ctx.json", "audience/*.ctx.json")
	captures, err := filepath.Glob("../../shared/ory/captures/*-*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(captures) == 0 {
		t.Log("the captured requests are not here: the examples' ctx are looked at alone")
	}
	for _, file := range append(files, captures...) {
		ctx, ok := read(t, file).(map[string]any)
		if slot, isCapture := ctx["body"].(map[string]any); isCapture {
			ctx = slot
		}
		if _, isCapture := ctx["raw_body"]; !ok || isCapture {
			continue // a form, or no body
		}
		secrets := secretsIn(ctx)
		for _, body := range bodies {
			forwarded := encode(onOrysSide(t, body, ctx))
			for _, secret := range secrets {
				if strings.Contains(forwarded, secret) {
					t.Errorf("%s forwards %q of %s: %s", body, secret, file, forwarded)
				}
			}
		}
	}
}

// TestCtxFilesAreForwarded has each ctx be what arrives: the bodies forward all of it.
func TestCtxFilesAreForwarded(t *testing.T) {
	for _, file := range glob(t, "ory/*.ctx.json", "audience/*.ctx.json") {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(onOrysSide(t, bodyFor(file), read(t, file))); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s has what is not forwarded, or isn't formatted: %v", file, err)
		}
	}
}
