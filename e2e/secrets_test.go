package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// address finds e-mail addresses.
var address = regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`)

// checkSecrets looks for what must be in no output: addresses, and what has s3cret in it.
func checkSecrets(t *testing.T, what string, output []byte) {
	t.Helper()
	for line := range bytes.Lines(output) {
		if bytes.Contains(line, []byte("s3cret")) || address.Match(line) {
			t.Errorf("%s has a secret: %s", what, line[:min(len(line), 2000)])
			return
		}
	}
}

// checkLog is checkSecrets for a file.
func checkLog(t *testing.T, file string) {
	t.Helper()
	log, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	checkSecrets(t, "Caddy's log", log)
}

// outboxKey is 32 bytes in base64.
const outboxKey = "s3cret" + "outboxkeyoutboxkeyoutboxkeyoutboxkey9" + "="

const troubled = `{
	debug
	admin ADMIN
	auto_https off
	persist_config off
	mailchimp {
		api_key {env.API_KEY}
		sender_domain example.com
		api_base BASE
		outbox sqlite FOLDER/outbox.db
		outbox_key {env.OUTBOX_KEY}
	}
}
http://:PORT {
	bind 127.0.0.1
	log {
		format filter {
			request>headers>X-Hook-Key delete
		}
	}
	handle /events {
		mailchimp_events {
			url https://hooks.example.com/events
			key {env.WEBHOOK_KEY}
		}
	}
	handle /broken {
		mailchimp_hook * FOLDER/broken.jsonnet {
			auth header X-Hook-Key {env.HOOK_KEY}
		}
	}
	handle /sync {
		mailchimp_hook * FOLDER/t.jsonnet {
			auth header X-Hook-Key {env.HOOK_KEY}
			delivery sync
		}
	}
	handle {
		mailchimp_hook * FOLDER/t.jsonnet {
			auth header X-Hook-Key {env.HOOK_KEY}
			auth basic ory {env.HOOK_KEY}
		}
	}
}
`

// TestNoSecrets makes all kinds of trouble, with a secret in all that is said, and reads all that comes out:
// log, metrics, admin API and commands, at the level debug.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	folder := t.TempDir()
	site, admin := freeAddress(t), freeAddress(t)
	for name, text := range map[string]string{
		"t.jsonnet": `function(ctx) { message: {
			from_email: 'hello@example.com', to: [{ email: ctx.email, name: ctx.name }],
			subject: ctx.code, text: 'Hi ' + ctx.name + ctx.code, metadata: { n: ctx.n },
		} }`,
		"broken.jsonnet": `function(ctx) if ctx.n == 'raise' then error 'no ' + ctx.email + ctx.code else ctx[ctx.code]`,
		"Caddyfile": strings.NewReplacer("ADMIN", admin, "BASE", m.url, "FOLDER", folder,
			"PORT", site[strings.LastIndexByte(site, ':')+1:]).Replace(troubled),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	caddy := exec.Command(binary, "run", "--config", filepath.Join(folder, "Caddyfile"))
	caddy.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder,
		"API_KEY=s3cret-api-key", "HOOK_KEY=s3cret-hook-key", "OUTBOX_KEY="+outboxKey, "WEBHOOK_KEY=s3cret-webhook-key")
	caddy.Stdout, caddy.Stderr = &log, &log
	if err := caddy.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			_ = caddy.Process.Signal(os.Interrupt)
			_ = caddy.Wait()
		}
	}
	defer func() {
		stop()
		if t.Failed() {
			t.Logf("the end of Caddy's log:\n%s", log.Bytes()[max(0, log.Len()-3000):])
		}
	}()
	waitFor(t, "Caddy", func() bool {
		connection, err := net.Dial("tcp", site)
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
	hooks := 0
	post := func(path, n, key string) {
		hooks++
		body := fmt.Sprintf(`{"email":"s3cret%d@example.net","name":"s3cret Ada","code":"s3cret-%[1]d","n":%q,`+
			`"request_cookies":{"session":"s3cret"},"request_url":"https://x.example/?token=s3cret"}`, hooks, n)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+site+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hook-Key", key)
		r.Header.Set("Cookie", "session=s3cret")
		r.SetBasicAuth("ory", "s3cret-wrong")
		answer := do(t, r)
		checkSecrets(t, "the answer of "+path, answer)
	}
	fail := func(f sandbox.Failure) {
		if err := m.Fail(f); err != nil {
			t.Fatal(err)
		}
	}
	const key = "s3cret-hook-key"
	call := func(method, path, body string) []byte {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+admin+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return do(t, r)
	}
	post("/", "good", key)
	m.expect(t, []string{"s3cret1@example.net"}, time.Minute)
	var found []entry
	text := call(http.MethodPost, "/mailchimp/outbox/search", `{"recipient":"s3cret1@example.net"}`)
	if err := json.Unmarshal(text, &found); err != nil || len(found) != 1 {
		t.Fatalf("the search found %s", text)
	}
	post("/", "wrong key", "s3cret-wrong")
	post("/broken", "raise", key)
	post("/broken", "field", key)
	statusHas := func(texts ...string) func() bool {
		return func() bool {
			status := call(http.MethodGet, "/mailchimp/status", "")
			return !slices.ContainsFunc(texts, func(text string) bool { return !bytes.Contains(status, []byte(text)) })
		}
	}
	for _, path := range []string{"/", "/sync"} {
		for _, f := range []sandbox.Failure{
			{Status: 422, Name: "ValidationError"},
			{RejectReason: "hard-bounce"},
			{Name: "PaymentRequired"},
			{Status: 500},
			{Reset: "before"},
			{Reset: "after"},
		} {
			fail(f)
			post(path, "trouble", key)
			if path == "/" {
				waitFor(t, "the delivery", statusHas(`"pending":0`, `"sending":0`))
			}
			if !statusHas(`"holds":{}`)() { // else a probe meets the next failure
				post("/", "good", key)
				waitFor(t, "the release", statusHas(`"holds":{}`))
			}
		}
	}
	form := url.Values{"mandrill_events": {`[{"event":"hard_bounce","ts":1700000000,` +
		`"msg":{"email":"s3cret1@example.net",` +
		`"metadata":{"outbox_entry":"` + found[0].ID + `"},"diag":"550 s3cret1@example.net"}}]`}}
	for _, secret := range []string{"s3cret-webhook-key", "s3cret-wrong"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+site+"/events",
			strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Mandrill-Signature", api.Signature(secret, "https://hooks.example.com/events", form))
		do(t, r)
	}
	for _, path := range []string{
		"/mailchimp/status", "/mailchimp/outbox", "/mailchimp/outbox/" + found[0].ID, "/metrics",
	} {
		checkSecrets(t, path, call(http.MethodGet, path, ""))
	}
	call(http.MethodPost, "/mailchimp/send-test", `{"to":"s3cret@example.net"}`)
	call(http.MethodPost, "/mailchimp/outbox/retry", `{"state":"unrendered"}`)
	output, _ := exec.Command(binary, "mailchimp", "outbox", "list", "--address", admin).CombinedOutput()
	checkSecrets(t, "outbox list", output)
	call(http.MethodPost, "/mailchimp/outbox/forget", `{"recipient":"s3cret1@example.net"}`)
	stop()
	for _, line := range []string{
		"entry can't be rendered", "sender is held", "mail didn't arrive", "events refused", `"level":"debug"`,
		"recipient rejected",
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %q: the trouble was not made", line)
		}
	}
	checkSecrets(t, "the log", log.Bytes())
}

func do(t *testing.T, r *http.Request) []byte {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
