package examples_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// templates says which one is for the captures whose names begin so.
var templates = map[string]string{
	"registration-after-plain-": "registration", "registration-after-ignore-": "registration",
	"registration-after-parse-": "registration", "login-after-": "login",
	"settings-after-profile-": "profile", "settings-after-password-": "password", "settings-after-totp-": "factor",
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
				checkMail(t, template, ctx, onOrysSide(t, bodyFor(template), ctx))
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
	if template == "login" && ctx["flow"].(map[string]any)["refresh"] == true {
		return ""
	}
	if template != "profile" {
		return now
	}
	before := address(ctx["flow"].(map[string]any)["identity"])
	if before == now {
		return ""
	}
	return before
}
