package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// registering is a Kratos whose registrations by password have the hooks and a session.
func registering(t *testing.T, e *edge, hooks ...object) *kratos {
	t.Helper()
	hooks = append(hooks, object{"hook": "session"})
	return newKratos(t, configure(e, object{"registration": object{"after": object{"password": object{"hooks": hooks}}}}))
}

func fail(t *testing.T, m *mandrill, failure sandbox.Failure) {
	t.Helper()
	if err := m.Fail(failure); err != nil {
		t.Fatal(err)
	}
}

// registers expects the person to get in.
func registers(t *testing.T, k *kratos, address string) {
	t.Helper()
	p := newPerson(t, k, false)
	if got := p.register(object{"email": address, "lang": "de"}); got.status != http.StatusOK || !p.signedIn() {
		t.Fatalf("%s sees %d %s", address, got.status, got.text)
	}
}

// arrives waits for the mails of one person.
func (m *mandrill) arrives(t *testing.T, address string, subjects ...string) {
	t.Helper()
	(&journey{person: &person{t: t}, m: m, address: address}).gets("in the end", subjects...)
}

// TestMandrillIsDownWhileTheyRegister has the mails come later.
func TestMandrillIsDownWhileTheyRegister(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	k := registering(t, e, hook(e, "registration-plain", "plain", "header"))
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Reset: "before"})
	registers(t, k, "ada@example.net")
	if mails := m.Mails(); len(mails) != 0 {
		t.Errorf("%d mails came", len(mails))
	}
	m.Recover()
	m.arrives(t, "ada@example.net", "registration-plain", verify)
}

// entry is a part of what the outbox says of one.
type entry struct{ ID, State, Template string }

// entries are those of the template in the outbox.
func (e *edge) entries(template string) (found []entry) {
	e.t.Helper()
	var all []entry
	if err := json.Unmarshal([]byte(e.command("mailchimp", "outbox", "list", "--json")), &all); err != nil {
		e.t.Fatal(err)
	}
	for _, entry := range all {
		if entry.Template == template {
			found = append(found, entry)
		}
	}
	return found
}

// TestBrokenTemplate has people register all the same, and get their mail when it is fixed.
func TestBrokenTemplate(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	k := registering(t, e, hook(e, "registration-plain", "plain", "header"))
	e.write("named.jsonnet", "function(ctx) { message: ctx.nobody_knows }")
	e.waitForLog("template changed")
	registers(t, k, "ada@example.net")
	m.arrives(t, "ada@example.net", verify) // the courier's template is another one
	entries := e.entries("named.jsonnet")
	if len(entries) != 1 || entries[0].State != "unrendered" {
		t.Fatalf("the outbox has %+v", entries)
	}
	e.write("named.jsonnet", named)
	e.waitForLog("template changed")
	e.command("mailchimp", "outbox", "retry", entries[0].ID)
	m.arrives(t, "ada@example.net", "registration-plain", verify)
}

// TestMandrillIsDownInAParseHook keeps people out as long as it lasts.
func TestMandrillIsDownInAParseHook(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "delivery sync\n")
	k := registering(t, e, hook(e, "registration-parse", "parse", "header"))
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Status: 503, Name: "ServiceUnavailable"})
	got := newPerson(t, k, false).register(object{"email": "ada@example.net", "lang": "de"})
	if got.status != http.StatusBadRequest || !strings.Contains(got.text, "giving up after 3 attempt(s)") ||
		len(k.identities("ada@example.net")) != 0 {
		t.Errorf("they see %d %s", got.status, got.text)
	}
	m.Recover()
	registers(t, k, "ada@example.net")
	m.arrives(t, "ada@example.net", "registration-parse", verify)
}

// TestWrongSecret checks what people see of it, by the kind of hook.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	for _, test := range []struct {
		kind   string
		status int
		stored int
	}{
		{"plain", http.StatusBadGateway, 1}, // and they can't register again
		{"parse", http.StatusBadRequest, 0},
		{"ignore", http.StatusOK, 1},
	} {
		t.Run(test.kind, func(t *testing.T) {
			k := registering(t, e, hook(e, "registration-"+test.kind, test.kind, "wrong"))
			address := test.kind + "@example.net"
			p := newPerson(t, k, false)
			got := p.register(object{"email": address, "lang": "de"})
			if got.status != test.status || strings.Contains(got.text, e.address) {
				t.Errorf("they see %d %s", got.status, got.text)
			}
			if test.kind == "parse" && got.errors()[""] != "The request has no valid credentials." {
				t.Errorf("they see %v", got.errors())
			}
			if found := k.identities(address); len(found) != test.stored {
				t.Errorf("%d are stored", len(found))
			}
			if again := newPerson(t, k, false).register(object{"email": address}); again.status != http.StatusBadRequest {
				t.Errorf("the second time, they see %d %s", again.status, again.text)
			}
			e.waitForLog("registration-" + test.kind + `","template":"named.jsonnet"`)
			for _, subject := range m.subjects(address) {
				if subject != verify {
					t.Errorf("got %s", subject)
				}
			}
		})
	}
}

// TestCaddyIsReloadedInTheMiddle reloads while Mandrill answers and Ory waits.
func TestCaddyIsReloadedInTheMiddle(t *testing.T) {
	t.Parallel()
	for delivery, delay := range map[string]string{"sync": "2s", "queued": "2s"} {
		t.Run(delivery, func(t *testing.T) {
			m := newMandrill(t)
			e := flowsEdge(t, m, "delivery "+delivery)
			k := registering(t, e, hook(e, "registration-plain", "plain", "header"))
			fail(t, m, sandbox.Failure{Delay: delay})
			registered := make(chan seen)
			p := newPerson(t, k, false)
			flow := p.start("registration")
			go func() {
				traits := object{"email": "ada@example.net", "lang": "de"}
				registered <- p.submit(flow, object{"method": "password", "password": password, "traits": traits})
			}()
			if delivery == "queued" {
				if got := <-registered; got.status != http.StatusOK {
					t.Fatalf("they see %d %s", got.status, got.text)
				}
			} else {
				m.called(t)
			}
			line := "delivery " + delivery
			e.write("Caddyfile", strings.Replace(e.read("Caddyfile"), line, line+"\ntimeout 9s", 1))
			e.command("reload", "--config", "Caddyfile", "--adapter", "caddyfile")
			if delivery == "sync" {
				if got := <-registered; got.status != http.StatusOK {
					t.Fatalf("they see %d %s", got.status, got.text)
				}
			}
			registers(t, k, "after@example.net")
			m.arrives(t, "ada@example.net", "registration-plain", verify)
			m.arrives(t, "after@example.net", "registration-plain", verify)
		})
	}
}

// TestCaddyIsKilledBetweenAttempts kills Caddy when it has accepted a hook and not answered Ory yet: Ory
// calls again, and there is one mail.
func TestCaddyIsKilledBetweenAttempts(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	target, err := url.Parse("http://" + e.address)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	between := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(answer *http.Response) error {
			if strings.HasPrefix(answer.Request.URL.Path, "/hooks/") && calls.Add(1) == 1 {
				e.kill()
				e.start()
				panic(http.ErrAbortHandler)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	proxy := httptest.NewServer(between)
	t.Cleanup(proxy.Close)
	through := &edge{address: strings.TrimPrefix(proxy.URL, "http://")}
	k := registering(t, through, hook(through, "registration-plain", "plain", "header"))
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Status: 503, Name: "ServiceUnavailable"})
	registers(t, k, "ada@example.net")
	m.Recover()
	m.arrives(t, "ada@example.net", "registration-plain", verify)
	if got := calls.Load(); got != 2 {
		t.Errorf("Ory called %d times", got)
	}
	if entries := e.entries("named.jsonnet"); len(entries) != 1 {
		t.Errorf("the outbox has %+v", entries)
	}
}
