package examples_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
	"go.yaml.in/yaml/v3"
)

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

// templates says which one is for the captures whose names begin so.
var templates = map[string]string{
	"registration-after-plain-": "registration", "registration-after-ignore-": "registration",
	"registration-after-parse-": "registration", "login-after-": "login",
	"settings-after-profile-": "profile", "settings-after-password-": "password",
	"verification-after-": "verification", "recovery-after-": "recovery", "courier-": "courier",
}

// TestOryOverCaptures has what a real Kratos sent go through the bodies on Ory's side and through the templates.
func TestOryOverCaptures(t *testing.T) {
	for prefix, template := range templates {
		files, err := filepath.Glob("../../shared/ory/captures/" + prefix + "*.json")
		if err != nil || len(files) == 0 {
			t.Skip("the captured requests are not here")
		}
		for _, file := range files {
			ctx, ok := read(t, file).(map[string]any)["body"].(map[string]any)
			if _, isDefault := ctx["recovery_code"]; !ok || isDefault {
				continue // another body on Ory's side
			}
			t.Run(filepath.Base(file), func(t *testing.T) {
				body := "ory/forward.jsonnet"
				if template == "courier" {
					body = "ory/courier-body.jsonnet"
				}
				checkMail(t, template, ctx, onOrysSide(t, body, ctx))
			})
		}
	}
}

type mail struct {
	Message struct {
		Subject, HTML, Text string
		To                  []struct{ Email, Name string }
		ViewContentLink     *bool `json:"view_content_link"`
	}
	Delivery struct {
		ExpiresIn string `json:"expires_in"`
	}
}

func checkMail(t *testing.T, template string, sent, forwarded map[string]any) {
	t.Helper()
	text, err := json.Marshal(forwarded)
	if err != nil {
		t.Fatal(err)
	}
	flow, _ := forwarded["flow"].(map[string]any)
	for _, value := range []any{flow["ui"], flow["request_url"], forwarded["request_url"], forwarded["request_cookies"]} {
		if value != nil {
			t.Errorf("too much is forwarded: %s", text)
		}
	}
	want := wantedRecipient(template, sent)
	request := message(t, "ory/"+template+".jsonnet", forwarded)
	if request == nil || want == "" {
		if request != nil || want != "" {
			t.Errorf("the mail to %q is %v", want, request)
		}
		return
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var got mail
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	m := got.Message
	if len(m.To) != 1 || m.To[0].Email != want || m.Subject == "" || m.Text == "" || strings.Contains(m.HTML, "<b>") {
		t.Errorf("got %s", encoded)
	}
	if template != "courier" {
		return
	}
	if m.ViewContentLink == nil || *m.ViewContentLink {
		t.Error("Mandrill keeps the content")
	}
	for key, value := range sent["template_data"].(map[string]any) {
		if strings.HasSuffix(key, "_code") &&
			(!strings.Contains(m.Text, value.(string)) || !strings.Contains(m.HTML, ">"+value.(string)+"<")) {
			t.Errorf("%s is missing: %s", key, m.Text)
		}
		if strings.HasSuffix(key, "_url") && key != "request_url" && !strings.Contains(m.Text, value.(string)) {
			t.Errorf("%s is missing: %s", key, m.Text)
		}
	}
}

// wantedRecipient is who is to get the mail, or "".
func wantedRecipient(template string, ctx map[string]any) string {
	if template == "courier" {
		if ctx["message_type"] == "sms" {
			return ""
		}
		return ctx["recipient"].(string)
	}
	address := func(identity any) string {
		addresses, _ := identity.(map[string]any)["verifiable_addresses"].([]any)
		for _, a := range addresses {
			if a := a.(map[string]any); a["via"] == "email" {
				return a["value"].(string)
			}
		}
		return ""
	}
	now := address(ctx["identity"])
	if template != "profile" {
		return now
	}
	before := address(ctx["flow"].(map[string]any)["identity"])
	if before == now {
		return ""
	}
	return before
}

var addition = regexp.MustCompile(`--(?:add|replace) '(/[^=]+)=(.*)'`)

// TestOryNetwork compares network.sh with kratos.yml.
func TestOryNetwork(t *testing.T) {
	script, err := os.ReadFile("ory/network.sh")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("ory/kratos.yml")
	if err != nil {
		t.Fatal(err)
	}
	var kratos any
	if err := yaml.Unmarshal(file, &kratos); err != nil {
		t.Fatal(err)
	}
	additions := addition.FindAllStringSubmatch(string(script), -1)
	for _, a := range additions {
		var got any
		if err := json.Unmarshal([]byte(a[2]), &got); err != nil {
			t.Fatalf("%s: %v", a[1], err)
		}
		want := kratos
		for key := range strings.SplitSeq(strings.TrimPrefix(a[1], "/"), "/") {
			if list, ok := want.([]any); ok {
				want = list[0]
				continue
			}
			want = want.(map[string]any)[key]
		}
		if !reflect.DeepEqual(got, inline(t, want)) {
			t.Errorf("%s is %v, and in kratos.yml %v", a[1], got, inline(t, want))
		}
	}
	web, added := strings.Count(string(file), "hook: web_hook"), strings.Count(string(script), `"web_hook"`)
	if web != added || len(additions) != web+2 {
		t.Errorf("%d hooks in kratos.yml, %d in network.sh", web, added)
	}
}

// inline puts the files that a configuration names into it.
func inline(t *testing.T, value any) any {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		result := make(map[string]any, len(value))
		for key, child := range value {
			result[key] = inline(t, child)
		}
		return result
	case string:
		if name, ok := strings.CutPrefix(value, "file:///etc/kratos/"); ok {
			data, err := os.ReadFile("ory/" + name)
			if err != nil {
				t.Fatal(err)
			}
			return "base64://" + base64.StdEncoding.EncodeToString(data)
		}
	}
	return value
}
