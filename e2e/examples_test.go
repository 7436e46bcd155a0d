package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples runs what is in examples/ory as it stands there, but for addresses and the look-up of leaked
// passwords.
func TestExamples(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Abs("../examples/ory")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	entries, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(examples, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	replace := func(text string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("%q is not there any more", pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(text)
	}
	m := newMandrill(t)
	provider := newProvider(t)
	e := runEdge(t, files, func(e *edge) string {
		return replace(files["Caddyfile"],
			"\tmailchimp {\n", "admin "+e.admin+"\nauto_https off\npersist_config off\nmailchimp {\napi_base "+m.url+"\n",
			"\nhooks.example.com {\n", "\nhttp://:"+e.port()+" {\nbind 127.0.0.1\n")
	})
	k := newKratos(t, func(k *kratos, folder string) []byte {
		port := func(base string) string { return base[strings.LastIndexByte(base, ':')+1:] }
		return []byte(replace(files["kratos.yml"],
			"/var/lib/kratos", folder, "/etc/kratos", examples, "HOOK_KEY\n", "s3cret-header\n",
			"https://hooks.example.com", "http://"+e.address, "https://www.example.com", "http://127.0.0.1:1",
			"https://auth.example.com/", k.public+"/\n    host: 127.0.0.1\n    port: "+port(k.public),
			"http://127.0.0.1:4434/", k.admin+"/\n    host: 127.0.0.1\n    port: "+port(k.admin),
			"    password:\n      enabled: true\n",
			"    password:\n      enabled: true\n      config:\n        haveibeenpwned_enabled: false\n"+
				"    oidc:\n      enabled: true\n      config:\n        providers: [{id: other, provider: generic, "+
				"client_id: club, client_secret: s3cret, mapper_url: 'base64://e30=', issuer_url: '"+provider+"'}]\n"))
	})
	const (
		welcome = "Willkommen bei Example Club"
		hello   = "Hallo Ada,\n"
	)
	for _, browser := range []bool{false, true} {
		way := map[bool]string{false: "api", true: "browser"}[browser]
		t.Run(way, func(t *testing.T) {
			j := &journey{person: newPerson(t, k, browser), m: m, address: way + "@example.net"}
			traits := object{"email": j.address, "name": object{"first": "Ada"}, "lang": "de"}
			j.sees("registration", j.register(traits), http.StatusOK)
			j.gets("registration", welcome, verify)
			if text := m.text(j.address, welcome); !strings.HasPrefix(text, hello) {
				t.Errorf("the mail begins %.50q", text)
			}
			flow := j.start("verification")
			j.sees("verification", j.submit(flow, object{"method": "code", "email": j.address}), http.StatusOK)
			j.gets("verification", verify)
			j.sees("verification", j.submit(flow, object{"method": "code", "code": j.code(verify)}), http.StatusOK)
			j.gets("verification", "Deine Adresse ist bestätigt")
			j.sees("login", newPerson(t, k, browser).login(j.address, password), http.StatusOK)
			j.gets("login", "Neue Anmeldung bei deinem Konto")
			fields := object{"method": "password", "password": password + "-2"}
			j.sees("password", j.submit(j.start("settings"), fields), http.StatusOK)
			j.gets("password", "Dein Passwort wurde geändert")

			// To confirm one's password is no new sign-in.
			fields["identifier"] = j.address
			j.sees("refresh", j.submit(j.start("login?refresh=true"), fields), http.StatusOK)
			flow = j.start("settings")
			j.submit(flow, object{"method": "lookup_secret", "lookup_secret_regenerate": true})
			j.sees("factor", j.submit(flow, object{"method": "lookup_secret", "lookup_secret_confirm": true}), http.StatusOK)
			j.gets("factor", "Deine Anmeldung wurde geändert")

			if browser {
				j.sees("link", j.linkAccount("other"), http.StatusOK)
				j.gets("link", "Deine verknüpften Konten wurden geändert")
			}

			p := newPerson(t, k, browser)
			flow = p.start("recovery")
			j.sees("recovery", p.submit(flow, object{"method": "code", "email": j.address}), http.StatusOK)
			j.gets("recovery", recoverIt)
			p.submit(flow, object{"method": "code", "code": j.code(recoverIt)})
			j.gets("recovery", "Dein Konto wurde wiederhergestellt")

			traits["name"] = object{"first": "Ada", "last": "King"}
			j.sees("name", j.submit(j.start("settings"), object{"method": "profile", "traits": traits}), http.StatusOK)
			traits["email"] = "new." + j.address
			j.sees("address", j.submit(j.start("settings"), object{"method": "profile", "traits": traits}), http.StatusOK)
			j.gets("address", "Deine E-Mail-Adresse wurde geändert") // and none for the name
			(&journey{person: j.person, m: m, address: "new." + j.address}).gets("address", verify)

			j = &journey{person: newPerson(t, k, browser), m: m, address: way + ".code@example.net"}
			traits = object{"email": j.address, "lang": "de"}
			fields = object{"method": "code", "traits": traits, "transient_payload": object{"lang": "en"}}
			flow = j.start("registration")
			j.submit(flow, fields)
			// The form's language counts before the trait's.
			complete, welcome := "Complete your registration", "Welcome to Example Club"
			j.gets("registration", complete)
			fields["code"] = j.code(complete)
			j.sees("registration", j.submit(flow, fields), http.StatusOK)
			j.gets("registration", welcome)
			p = newPerson(t, k, browser)
			flow = p.start("login")
			p.submit(flow, object{"method": "code", "identifier": j.address})
			j.gets("login", signIn)
			fields = object{"method": "code", "identifier": j.address, "code": j.code(signIn)}
			j.sees("login", p.submit(flow, fields), http.StatusOK)
			j.gets("login", "Neue Anmeldung bei deinem Konto")
		})
	}
}
