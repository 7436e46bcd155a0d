package examples_test

import (
	"encoding/json"
	"slices"
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
	if message(t, template, ctx) == nil {
		return nil
	}
	encoded, err := json.Marshal(returned(t, template, ctx))
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
		{
			"Firefox", `{"User-Agent":["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"]}`,
			"Firefox, Linux",
		},
		{
			"Chrome", `{"User-Agent":["Mozilla/5.0 (Linux; Android 10; K) ` +
				`AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"]}`, "Chrome, Android",
		},
		{
			"Edge", `{"User-Agent":["Mozilla/5.0 (Windows NT 10.0; Win64; x64) ` +
				`AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0"]}`, "Edge, Windows",
		},
		{
			"Safari", `{"User-Agent":["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ` +
				`AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"]}`, "Safari, macOS",
		},
		{
			"iPhone", `{"User-Agent":["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) ` +
				`AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.0.0 Mobile/15E148 Safari/604.1"]}`, "Chrome, iOS",
		},
		{
			"Opera", `{"User-Agent":["Mozilla/5.0 (Windows NT 10.0) ` +
				`AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0"]}`, "Opera, Windows",
		},
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
			got := made(t, "ory/login.jsonnet",
				changed(t, "ory/login.ctx.json", map[string]string{"request_headers": test.headers}))
			if parts := strings.Split(got.Message.Text, "\n\n"); parts[2] != test.want {
				t.Errorf("got %.100q", parts[2])
			}
			if strings.Contains(got.Message.HTML, "evil") {
				t.Error("an advertisement is in the mail")
			}
		})
	}
}

// TestCourierWords has data that Ory doesn't send today.
func TestCourierWords(t *testing.T) {
	const own, orys = "Confirm your e-mail address", "Please verify your email address"
	for _, test := range []struct {
		name             string
		values           map[string]string
		subject, expires string
	}{
		{"as it is", nil, own, "15m"},
		{"minutes", map[string]string{"template_data.expires_in_minutes": `5`}, own, "5m"},
		{"minutes that are null", map[string]string{"template_data.expires_in_minutes": `null`}, own, "15m"},
		{"less than a minute", map[string]string{"template_data.expires_in_minutes": `0`}, own, "1m"},
		{"one minute", map[string]string{"template_data.expires_in_minutes": `1`}, own, "1m"},
		{"minutes of another kind", map[string]string{"template_data.expires_in_minutes": `"5"`}, own, "15m"},
		{"link alone", map[string]string{"template_data.verification_code": ""}, own, "15m"},
		{
			"neither code nor link", map[string]string{
				"template_data.verification_code": `""`, "template_data.verification_url": `null`,
			}, orys, "15m",
		},
		{"no data", map[string]string{"template_data": ""}, orys, "15m"},
		{"null data", map[string]string{"template_data": `null`}, orys, "15m"},
		{
			"notice without data",
			map[string]string{"template_data": `null`, "template_type": `"recovery_invalid"`},
			"Somebody entered your address", "",
		},
		{
			"notice with minutes", map[string]string{
				"template_data.expires_in_minutes": `5`, "template_type": `"verifiable_address_changed"`,
			}, "Your contact details were changed", "",
		},
		{
			"new authenticator",
			map[string]string{"template_type": `"authenticator_key_added"`},
			"A new way to sign in to your account", "",
		},
		{
			"another type that is valid", map[string]string{
				"template_type": `"login_link_valid"`, "template_data": `{"expires_in_minutes":5}`,
			}, orys, "5m",
		},
		{"another type with a code", map[string]string{"template_type": `"new"`}, orys, "15m"},
		{
			"another type without a code",
			map[string]string{"template_type": `"new"`, "template_data.verification_code": `""`},
			orys, "",
		},
		{"another type that is named like a field", map[string]string{"template_type": `"hello"`}, orys, "15m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := changed(t, "ory/courier.ctx.json", test.values)
			if test.subject == orys {
				ctx.(map[string]any)["request_headers"] = map[string]any{"Accept-Language": []any{"de"}}
			}
			got := made(t, "ory/courier.jsonnet", ctx)
			if got.Message.Subject != test.subject || got.Delivery.ExpiresIn != test.expires {
				t.Errorf("got %q, which expires in %q", got.Message.Subject, got.Delivery.ExpiresIn)
			}
			if test.subject == orys && !strings.Contains(got.Message.HTML, `lang="en"`) {
				t.Errorf("English words are said to be of another language: %s", got.Message.HTML)
			}
			minute := strings.Contains(got.Message.Text, "It is valid for one minute.")
			if test.subject == own && minute != (test.expires == "1m") {
				t.Errorf("it expires in %s: %s", test.expires, got.Message.Text)
			}
			if test.subject == orys && !strings.Contains(got.Message.Text, "please verify your account by entering") {
				t.Errorf("Ory's words are missing: %s", got.Message.Text)
			}
		})
	}
}

// TestVerificationWritesToTheConfirmedAddress has people with several addresses, or with none that is confirmed.
func TestVerificationWritesToTheConfirmedAddress(t *testing.T) {
	address := func(via, value, verified, at string) string {
		return `{"via":"` + via + `","value":"` + value + `","verified":` + verified + `,"verified_at":` + at + `}`
	}
	const (
		typed  = "linus@example.com" // as the traits say
		second = "second@example.net"
		early  = `"2026-11-23T17:42:52Z"`
		late   = `"2026-11-23T17:42:52.1Z"`
		latest = `"2026-11-23T17:42:52.100000001Z"`
	)
	for _, test := range []struct {
		name, want string
		addresses  []string
	}{
		{"the only one", typed, []string{address("email", typed, "true", early)}},
		{"phone alone", "", []string{address("email", typed, "false", "null"), address("sms", "+41", "true", early)}},
		{"second address", second, []string{address("email", typed, "true", early), address("email", second, "true", late)}},
		{
			"first address again", typed,
			[]string{address("email", typed, "true", latest), address("email", second, "true", late)},
		},
		{"phone later", "", []string{address("email", typed, "true", late), address("sms", "+41", "true", latest)}},
		{"phone before", typed, []string{address("email", typed, "true", late), address("sms", "+41", "true", early)}},
		{"no times", typed, []string{address("email", typed, "true", "null")}},
		{"of another kind", "", []string{address("email", typed, `"true"`, early), "null", "1"}},
		{"none", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 {
				slices.Reverse(test.addresses)
				got := made(t, "ory/verification.jsonnet", changed(t, "ory/verification.ctx.json",
					map[string]string{"identity.verifiable_addresses": "[" + strings.Join(test.addresses, ",") + "]"}))
				checkRecipient(t, got, test.want)
			}
		})
	}
	for name, addresses := range map[string]string{"null": "null", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			checkRecipient(t, made(t, "ory/verification.jsonnet", changed(t, "ory/verification.ctx.json",
				map[string]string{"identity.verifiable_addresses": addresses})), "")
		})
	}
}

func checkRecipient(t *testing.T, got *mail, want string) {
	t.Helper()
	if want == "" {
		if got != nil {
			t.Errorf("there is a mail to %v", got.Message.To)
		}
		return
	}
	if got == nil || len(got.Message.To) != 1 || got.Message.To[0].Email != want {
		t.Errorf("got %v, want a mail to %s", got, want)
	}
}

// TestSendTemplateShapes has identities that other schemas make.
func TestSendTemplateShapes(t *testing.T) {
	const address = "grace@example.com"
	for _, test := range []struct {
		name   string
		values map[string]string
		want   string
	}{
		{"null name", map[string]string{"identity.traits.name": `null`}, address},
		{"name in one", map[string]string{"identity.traits.name": `"Grace"`}, address},
		{"null addresses", map[string]string{"identity.verifiable_addresses": `null`}, address},
		{"no verifiable address", map[string]string{"identity.verifiable_addresses": ""}, address},
		{
			"nobody to write to", map[string]string{
				"identity.verifiable_addresses": `null`, "identity.recovery_addresses": "", "identity.traits": `{"phone":"+41"}`,
			}, "",
		},
		{"null traits", map[string]string{"identity.traits": `null`}, address},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkRecipient(t, made(t, "send-template.jsonnet", changed(t, "send-template.ctx.json", test.values)), test.want)
		})
	}
}
