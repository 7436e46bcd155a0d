package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// newSetup writes a configuration whose Mandrill is a sandbox, and returns the folder.
func newSetup(t *testing.T, mandrill http.Handler, lines string) {
	t.Helper()
	server := httptest.NewServer(mandrill)
	t.Cleanup(server.Close)
	t.Chdir(writeFiles(t, map[string]string{
		"Caddyfile": "{\nmailchimp {\napi_key {env.APP_KEY}\nsender_domain Example.com\napi_base " + server.URL +
			"/api/1.0\n}\n}\n:80 {\nmailchimp_hook t.jsonnet {\nauth off\n}\n" + lines + "\n}\n",
		"t.jsonnet":     `local lib = import 'lib.libsonnet'; function(ctx) { message: { subaccount: 'shop' } + lib }`,
		"lib.libsonnet": `{ "subaccount": "library" }`,
	}))
	t.Setenv("APP_KEY", "valid-key-1234")
}

func setUp(t *testing.T, args string, fails bool, wants ...string) (output string) {
	t.Helper()
	output, errors, err := execute(t, setupCommand(), strings.Fields(args)...)
	if (err != nil) != fails {
		t.Errorf("setup %s: %v\n%s", args, err, output)
	}
	for _, want := range wants {
		if !strings.Contains(output+errors, want) {
			t.Errorf("setup %s lacks %q:\n%s%s", args, want, output, errors)
		}
	}
	if strings.Contains(output+errors, "valid-key-1234") {
		t.Errorf("the key is printed: %s", output)
	}
	return output
}

// TestSetup takes an account from nothing to everything.
func TestSetup(t *testing.T) {
	const url = "https://hooks.example.com/mandrill"
	s := sandbox.New()
	newSetup(t, s, "")
	for range 2 { // it changes nothing
		setUp(t, "--url "+url, true, "…1234", "Sender domain example.com\n  account       missing",
			"mte1._domainkey.example.com. CNAME dkim1.mandrillapp.com.", `_dmarc.example.com. TXT "v=DMARC1; p=none"`,
			"outbox_entry  missing", "outbox        missing", "webhook       missing", "shop          missing",
			"library       missing", "6 missing: run the command again with --yes")
	}
	added := setUp(t, "--yes --url "+url, true, "account       added", "verification  ok", "DMARC         ok",
		"outbox_entry  added", "outbox        added", "webhook       added", "shop          added",
		"it only once", "mailchimp_events {", "1 still missing")
	key := regexp.MustCompile(`key ([0-9a-f]{22})`).FindStringSubmatch(added)
	if key == nil {
		t.Fatalf("the key of the webhook is not printed: %s", added)
	}
	if again := setUp(t, "--yes --url "+url, true, "events        ok", "the configuration doesn't have",
		"shop          ok"); strings.Contains(again, key[1]) {
		t.Errorf("the key is printed again: %s", again)
	}
	events := func(key string) {
		t.Helper()
		caddyfile, err := os.ReadFile("Caddyfile")
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(strings.TrimSuffix(string(caddyfile), "}\n"), "mailchimp_events")
		text := before + "mailchimp_events /mandrill {\nurl " + url + "\nkey " + key + "\n}\n}\n"
		if err := os.WriteFile("Caddyfile", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	events("another-key")
	setUp(t, "", true, "its key       is not the one of mailchimp_events")
	events("another-key " + key[1])
	setUp(t, "", false, "its key       ok", "outbox        ok", "Nothing is missing.")
	setUp(t, "--yes", false, "Nothing is missing.")
}

// TestSetupMends an account that was set up in another way.
func TestSetupMends(t *testing.T) {
	s := sandbox.New()
	newSetup(t, s, "mailchimp_hook /b gone.jsonnet {\nauth off\nsender_domain new.invalid\n}")
	stop, err := s.PostEvents("http://127.0.0.1:1/mandrill", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	api := func(endpoint, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/"+endpoint, strings.NewReader(body)))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %s", endpoint, w.Body)
		}
	}
	api("subaccounts/add", `{"key":"k","id":"shop"}`)
	api("subaccounts/pause", `{"key":"k","id":"shop"}`)
	api("webhooks/update", `{"key":"k","id":1,"url":"http://127.0.0.1:1/mandrill","events":["send","blacklist"]}`)
	setUp(t, "--url http://127.0.0.1:1/mandrill", true, "events        missing: deferral, hard_bounce",
		"shop          ok, but paused", "reading the template: open gone.jsonnet")
	setUp(t, "--yes --url http://127.0.0.1:1/mandrill", true, "events        added",
		"new.invalid. TXT \"mandrill_verify.sandbox-verification\"", "Mandrill says: The DMARC record is missing.",
		"new.invalid: Mandrill rejects its mail as \"unsigned\"")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/webhooks/list", strings.NewReader(`{"key":"k"}`)))
	if !strings.Contains(w.Body.String(), `"blacklist","deferral"`) {
		t.Errorf("the webhook is now %s", w.Body)
	}
}

// TestSetupErrors says of each call what Mandrill said.
func TestSetupErrors(t *testing.T) {
	for endpoint, want := range map[string]string{
		"users/ping2":          "asking whether the key is valid",
		"senders/domains":      "listing the sender domains",
		"senders/check-domain": "checking the domain",
		"metadata/list":        "listing the metadata fields",
		"metadata/add":         "adding outbox_entry",
		"webhooks/list":        "listing the webhooks",
		"webhooks/add":         "adding webhook",
		"subaccounts/list":     "looking for the sub-account library",
		"subaccounts/add":      "adding library",
	} {
		t.Run(endpoint, func(t *testing.T) {
			s := sandbox.New()
			newSetup(t, s, "")
			if err := s.Fail(sandbox.Failure{Endpoint: endpoint, Name: "PaymentRequired"}); err != nil {
				t.Fatal(err)
			}
			setUp(t, "--yes --url https://a.example", true, "error: "+want+
				": calling Mandrill: account: status 402: PaymentRequired: The sandbox was told to fail.: check the account's plan")
		})
	}
}

func TestSetupRefuses(t *testing.T) {
	s := sandbox.New()
	newSetup(t, s, "")
	setUp(t, "extra", true, "unknown command")
	setUp(t, "--url hooks.example.com", true, "is not a URL such as")
	setUp(t, "--config nowhere", true, "nowhere")
	t.Setenv("APP_KEY", "")
	setUp(t, "", true, "api_key: evaluated placeholder {env.APP_KEY} is empty")
	t.Setenv("APP_KEY", "invalid")
	setUp(t, "", true, "Invalid_Key: Invalid API key: check api_key", "API key … at")
	if err := os.WriteFile("Caddyfile", []byte(":80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setUp(t, "", true, "api_key is missing")
	t.Chdir(t.TempDir())
	setUp(t, "", true, "there is no configuration")
}

// TestVerdicts are Mandrill's, whatever the records are.
func TestVerdicts(t *testing.T) {
	const good, bad = `{"valid":true}`, `{"valid":false,"error":"no CNAME"}`
	for name, test := range map[string]struct {
		domain string
		rows   string
		fails  string
	}{
		"all of 2024": {
			`"spf":` + bad + `,"dkim":` + good + `,"dkim2":` + good + `,"dmarc":` + good + `,"valid_signing":true`,
			"verification ok, DKIM 1 ok, DKIM 2 ok, DMARC ok", "",
		},
		"no DMARC": {
			`"dkim":` + good + `,"dkim2":` + good + `,"dmarc":` + bad + `,"valid_signing":false`,
			`verification ok, DKIM 1 ok, DKIM 2 ok, DMARC missing, _dmarc.a.example. TXT "v=DMARC1; p=none", ` +
				"Mandrill says: no CNAME", "until this is fixed",
		},
		"the first DKIM is old": {
			`"dkim":` + bad + `,"dkim2":` + good + `,"dmarc":` + good + `,"valid_signing":true`,
			"verification ok, DKIM 1 missing, mte1._domainkey.a.example. CNAME dkim1.mandrillapp.com., " +
				"Mandrill says: no CNAME, DKIM 2 ok, DMARC ok", "",
		},
		"all, and yet not": {
			`"dkim":` + good + `,"dkim2":` + good + `,"dmarc":` + good + `,"valid_signing":false`,
			"verification ok, DKIM 1 ok, DKIM 2 ok, DMARC ok", "every record looks right",
		},
		"before 2024": {`"dkim":` + good + `,"spf":` + good + `,"valid_signing":true`, "verification ok, DKIM 1 ok", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var domain mandrill.Domain
			if err := json.Unmarshal([]byte(`{"domain":"a.example","verified_at":"x",`+test.domain+`}`), &domain); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			printDomain(&out, "", domain)
			rows := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "\n", ", ")), " ")
			if rows = strings.ReplaceAll(strings.TrimSuffix(rows, ","), " ,", ","); rows != test.rows {
				t.Errorf("got  %s\nwant %s", rows, test.rows)
			}
			err := unsigned(domain)
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSubaccountsIn(t *testing.T) {
	for text, want := range map[string]string{
		`{ subaccount: 'a' }`:                        "a",
		`{ "subaccount": "a", x: { subaccount:'b'}}`: "a b",
		`{ subaccount:: "a", subaccount+: 'c' }`:     "a c",
		`{ subaccount: ctx.tenant }`:                 "",
		`{ my_subaccount: 'a', subaccounts: 'b' }`:   "",
		`import 'self.jsonnet'`:                      "",
		`import 'nowhere.jsonnet'`:                   "",
	} {
		file := filepath.Join(writeFiles(t, map[string]string{"self.jsonnet": text}), "self.jsonnet")
		if got, err := subaccountsIn(file); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
