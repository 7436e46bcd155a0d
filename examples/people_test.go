package examples_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// english and german are the subjects of the templates for mails to people, by the language of a trait.
var english, german = map[string]string{
	"welcome": "Welcome to Example Club", "ory/registration": "Welcome to Example Club",
	"ory/login": "New sign-in to your account", "ory/verification": "Your address is confirmed",
	"ory/recovery": "Your account was recovered", "ory/password": "Your password was changed",
	"ory/profile": "Your e-mail address was changed", "ory/factor": "Your sign-in was changed",
	"ory/linked": "Your linked accounts were changed", "ory/courier": "Confirm your e-mail address",
}, map[string]string{
	"welcome": "Willkommen bei Example Club", "ory/registration": "Willkommen bei Example Club",
	"ory/login": "Neue Anmeldung bei deinem Konto", "ory/verification": "Deine Adresse ist bestätigt",
	"ory/recovery": "Dein Konto wurde wiederhergestellt", "ory/password": "Dein Passwort wurde geändert",
	"ory/profile": "Deine E-Mail-Adresse wurde geändert", "ory/factor": "Deine Anmeldung wurde geändert",
	"ory/linked": "Deine verknüpften Konten wurden geändert", "ory/courier": "Bestätige deine E-Mail-Adresse",
}

// ctxFor is the template's ctx with another person.
func ctxFor(t *testing.T, template, person string) map[string]any {
	t.Helper()
	ctx := read(t, template+".ctx.json").(map[string]any)
	var identity any
	if err := json.Unmarshal([]byte(person), &identity); err != nil {
		t.Fatal(err)
	}
	flow, _ := ctx["flow"].(map[string]any)
	switch template {
	case "ory/courier":
		ctx["template_data"].(map[string]any)["identity"] = identity
	case "ory/profile":
		flow["identity"] = identity
	default:
		ctx["identity"] = identity
	}
	delete(flow, "transient_payload")
	return ctx
}

// TestPeople has each template write to people with two addresses, without a name, with a phone alone, and with hostile
// names, in each language.
func TestPeople(t *testing.T) {
	const ada, other = "ada@example.net", "billing@example.net"
	addresses := func(first, second, latest string) string {
		email := func(value string) string {
			at := map[bool]string{true: "2026-11-23T17:42:53Z", false: "2026-11-23T17:42:52Z"}[value == latest]
			return `{"via":"email","value":"` + value + `","verified":true,"verified_at":"` + at + `"}`
		}
		return `"verifiable_addresses":[` + email(first) + `,` + email(second) + `]`
	}
	const traits = `"traits":{"email":"Ada@example.net","billing":"billing@example.net","lang":"LANG","name":NAME}`
	const phone = `"verifiable_addresses":[{"via":"sms","value":"+41791234567","verified":true,` +
		`"verified_at":"2026-11-23T17:42:52Z"}],"traits":{"phone":"+41791234567","lang":"LANG","name":NAME}`
	people := map[string]string{
		"one order":     addresses(ada, other, ada) + "," + traits,
		"another order": addresses(other, ada, ada) + "," + traits,
		"phone":         phone,
	}
	names := map[string]string{
		"Ada King": `{"first":"Ada","last":"King"}`, "": `{}`,
		"hostile": `{"first":"<b>*|EVIL|*","last":"{{evil}}\r\nBcc: x"}`,
	}
	for lang, subjects := range map[string]map[string]string{"en": english, "de": german} {
		for template := range maps.Keys(subjects) {
			for personName, person := range people {
				for name, trait := range names {
					t.Run(strings.Join([]string{template, lang, personName, name}, "/"), func(t *testing.T) {
						replaced := strings.NewReplacer("LANG", lang, "NAME", trait).Replace(`{"id":"1",` + person + `}`)
						ctx := ctxFor(t, template, replaced)
						want := ada
						switch {
						case template == "ory/courier":
							want = ctx["recipient"].(string) // whatever the identity has
						case personName == "phone":
							want = ""
						}
						got := made(t, template+".jsonnet", ctx)
						checkRecipient(t, got, want)
						if got != nil && want != "" {
							checkWords(t, template, got, subjects[template], lang, name)
						}
					})
				}
			}
		}
	}
}

// checkWords looks at a mail in a language to somebody with a name.
func checkWords(t *testing.T, template string, got *mail, subject, lang, name string) {
	t.Helper()
	m := got.Message
	if m.Subject != subject || !strings.Contains(m.HTML, `<html lang="`+lang+`"`) {
		t.Errorf("the subject is %q, in %.60s", m.Subject, m.HTML)
	}
	hello := map[string]string{"en": "Hello", "de": "Hallo"}[lang]
	to := m.To[0].Name
	if template == "ory/courier" {
		to = name // the courier's recipient has no name
	}
	switch name {
	case "hostile":
		for _, text := range []string{m.Subject, m.HTML, m.Text, m.To[0].Name} {
			if strings.Contains(text, "*|") || strings.Contains(text, "{{") || strings.Contains(m.HTML, "<b>") {
				t.Errorf("somebody's text has a meaning: %s", text)
			}
		}
		if strings.ContainsAny(m.To[0].Name, "\r\n") || strings.Contains(m.Text, "\nBcc") {
			t.Errorf("there is a line break in %q", m.To[0].Name)
		}
	case "":
		if to != "" || !strings.HasPrefix(m.Text, hello+",\n") {
			t.Errorf("to %q: %.30q", to, m.Text)
		}
	default:
		if to != name || !strings.HasPrefix(m.Text, hello+" "+name+",\n") {
			t.Errorf("to %q: %.30q", to, m.Text)
		}
	}
}
