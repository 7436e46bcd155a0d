package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// named says in its subject which hook it comes from, and in its text of whose browser.
const named = `local mail = import 'mail.libsonnet';
function(ctx) {
	message: {
		from_email: 'hello@example.com', subject: ctx.hook,
		text: std.get(std.get(ctx, 'request_headers', {}), 'User-Agent', ['none'])[0],
		to: [if std.objectHas(ctx, 'identity') then mail.recipient(ctx.identity) else { email: '` + nobody + `' }],
	},
	delivery: { expires_in: '55m' }, // an urgent mail is uncertain for 20 s alone
}`

// nobody is whom hooks before flows write to, which know no person.
const nobody = "nobody@example.net"

// flowsEdge has a hook for each path below /hooks, and the courier's.
func flowsEdge(t *testing.T, m *mandrill, lines string) *edge {
	t.Helper()
	examples, err := filepath.Abs("../examples/ory")
	if err != nil {
		t.Fatal(err)
	}
	return newEdgeWith(t, m, "", "mailchimp_hook /hooks/* named.jsonnet {\n"+authLines+lines+"\n}\n"+
		"mailchimp_hook /courier {\ntemplate "+examples+"/courier.jsonnet\n"+authLines+"}\n",
		map[string]string{"named.jsonnet": named})
}

// everyKind is one hook of each kind, with an authentication of its own.
func everyKind(edge *edge, name string, more ...object) object {
	return object{"hooks": append([]object{
		hook(edge, name+"-parse", "parse", "cookie"), hook(edge, name+"-plain", "plain", "header"),
		hook(edge, name+"-ignore", "ignore", "basic"),
	}, more...)}
}

func everyFlow(e *edge, method string) object {
	session := object{"hook": "session"}
	before := func(name string) object { return everyKind(e, name+"-before") }
	return object{
		"registration": object{
			"before": before("registration"),
			"after":  object{"password": everyKind(e, "registration", session), "code": everyKind(e, "registration", session)},
		},
		"login": object{
			"before": before("login"),
			"after":  object{"password": everyKind(e, "login"), "code": everyKind(e, "login")},
		},
		"settings": object{
			"before": before("settings"),
			"after":  object{"profile": everyKind(e, "profile"), "password": everyKind(e, "password")},
		},
		"verification": object{"use": method, "before": before("verification"), "after": everyKind(e, "verification")},
		"recovery":     object{"use": method, "before": before("recovery"), "after": everyKind(e, "recovery")},
	}
}

// journey follows a person, and the mails that they must have got so far.
type journey struct {
	*person
	m       *mandrill
	address string
	mails   []string
}

// gets adds mails to those that must have come, and waits for them. Others must not have come.
func (j *journey) gets(step string, subjects ...string) {
	j.t.Helper()
	j.mails = append(j.mails, subjects...)
	slices.Sort(j.mails)
	j.m.wait(j.t, time.Minute, fmt.Sprintf("%s: %s gets %v", step, j.address, subjects), func() bool {
		return len(j.m.subjects(j.address)) >= len(j.mails)
	})
	if got := j.m.subjects(j.address); !slices.Equal(got, j.mails) {
		j.t.Fatalf("%s: got %q, want %q", step, got, j.mails)
	}
}

// opened waits until the hooks before the flows, and no others, have fired for forms that were opened in this
// journey.
func (j *journey) opened(flows ...string) {
	j.t.Helper()
	var want []string
	for _, flow := range flows {
		want = append(want, kinds(flow+"-before")...)
	}
	slices.Sort(want)
	fired := func() (found []string) {
		for _, mail := range j.m.Mails() {
			if mail.Message.To[0].Email == nobody && mail.Message.Text == j.address {
				found = append(found, mail.Message.Subject)
			}
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	j.m.wait(j.t, time.Minute, fmt.Sprintf("hooks before the flows of %s", j.address), func() bool {
		return len(fired()) >= len(want)
	})
	if got := fired(); !slices.Equal(got, want) {
		j.t.Errorf("before the flows of %s fired %q, want %q", j.address, got, want)
	}
}

func kinds(name string) []string { return []string{name + "-ignore", name + "-parse", name + "-plain"} }

func (j *journey) sees(step string, got seen, status int) {
	j.t.Helper()
	if got.status != status {
		j.t.Fatalf("%s: got %d %s", step, got.status, got.text)
	}
}

var digits = regexp.MustCompile(`\b\d{6}\b`)

// code is the one in the newest mail with the subject.
func (j *journey) code(subject string) string { return digits.FindString(j.m.text(j.address, subject)) }

// The courier's subjects.
const (
	verify    = "Bestätige deine E-Mail-Adresse"
	recoverIt = "Dein Konto wiederherstellen"
	signUp    = "Schließ deine Anmeldung ab"
	signIn    = "Anmeldung bei Example Club"
)

func TestFlows(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	k := newKratos(t, configure(e, everyFlow(e, "code")))
	for _, browser := range []bool{false, true} {
		way := map[bool]string{false: "api", true: "browser"}[browser]
		t.Run(way, func(t *testing.T) {
			address := way + "@example.net"
			j := &journey{person: newAgent(t, k, browser, address), m: m, address: address}
			passwordFlows(j)
			recoveryFlow(j)
			j.opened("registration", "verification", "login", "settings", "recovery")
			address = way + ".code@example.net"
			j = &journey{person: newAgent(t, k, browser, address), m: m, address: address}
			codeFlows(j)
			j.opened("registration", "login")
		})
	}
	t.Run("nobody to write to", func(t *testing.T) {
		toSomebody := func() int { return len(m.Mails()) - len(m.subjects(nobody)) }
		before := toSomebody()
		p := newPerson(t, k, false)
		if got := p.register(object{"username": "phone"}); got.status != http.StatusOK || !p.signedIn() {
			t.Fatalf("got %d %s", got.status, got.text)
		}
		// What comes after is the next one's, so that mails to nobody would have come before.
		j := &journey{person: newPerson(t, k, false), m: m, address: "after@example.net"}
		j.register(object{"email": j.address, "lang": "de"})
		j.gets("registration", append(kinds("registration"), verify)...)
		if got := toSomebody() - before; got != len(j.mails) {
			t.Errorf("%d mails", got)
		}
	})
}

func passwordFlows(j *journey) {
	j.t.Helper()
	traits := object{"email": j.address, "name": object{"first": "Ada"}, "lang": "de"}
	j.sees("registration", j.register(traits), http.StatusOK)
	j.gets("registration", append(kinds("registration"), verify)...)
	if !j.signedIn() {
		j.t.Error("registration: there is no session")
	}

	stranger := newAgent(j.t, j.kratos, j.browser, j.address)
	j.sees("taken address", stranger.register(traits), http.StatusBadRequest)
	j.gets("taken address", "registration-parse") // as docs/ory.md warns

	flow := j.start("verification")
	j.sees("verification", j.submit(flow, object{"method": "code", "email": j.address}), http.StatusOK)
	j.gets("verification", verify)
	want := map[bool]int{false: http.StatusOK, true: http.StatusBadRequest}[j.browser]
	j.sees("wrong code", j.submit(flow, object{"method": "code", "code": "000000"}), want)
	j.sees("verification", j.submit(flow, object{"method": "code", "code": j.code(verify)}), http.StatusOK)
	j.gets("verification", kinds("verification")...)

	again := newAgent(j.t, j.kratos, j.browser, j.address)
	j.sees("wrong password", again.login(j.address, "wrong"), http.StatusBadRequest)
	j.sees("login", again.login(j.address, password), http.StatusOK)
	j.gets("login", kinds("login")...)

	traits["name"] = object{"first": "Ada", "last": "King"}
	j.sees("profile", j.submit(j.start("settings"), object{"method": "profile", "traits": traits}), http.StatusOK)
	j.gets("profile", kinds("profile")...)
	fields := object{"method": "password", "password": password + "-2"}
	j.sees("password", j.submit(j.start("settings"), fields), http.StatusOK)
	j.gets("password", kinds("password")...)
}

func recoveryFlow(j *journey) {
	j.t.Helper()
	p := newAgent(j.t, j.kratos, j.browser, j.address)
	flow := p.start("recovery")
	j.sees("recovery", p.submit(flow, object{"method": "code", "email": j.address}), http.StatusOK)
	j.gets("recovery", recoverIt)
	got := p.submit(flow, object{"method": "code", "code": j.code(recoverIt)})
	// The API has a browser go on.
	want := map[bool]int{false: http.StatusUnprocessableEntity, true: http.StatusOK}[j.browser]
	if got.status != want {
		j.t.Fatalf("recovery: got %d %s", got.status, got.text)
	}
	j.gets("recovery", kinds("recovery")...)
}

func codeFlows(j *journey) {
	j.t.Helper()
	traits := object{"email": j.address, "lang": "de"}
	flow := j.start("registration")
	asked := map[bool]int{false: http.StatusBadRequest, true: http.StatusOK}[j.browser]
	j.sees("registration", j.submit(flow, object{"method": "code", "traits": traits}), asked)
	j.gets("registration", signUp)
	fields := object{"method": "code", "traits": traits, "code": j.code(signUp)}
	j.sees("registration", j.submit(flow, fields), http.StatusOK)
	j.gets("registration", kinds("registration")...)

	p := newAgent(j.t, j.kratos, j.browser, j.address)
	flow = p.start("login")
	j.sees("login", p.submit(flow, object{"method": "code", "identifier": j.address}), asked)
	j.gets("login", signIn)
	fields = object{"method": "code", "identifier": j.address, "code": j.code(signIn)}
	j.sees("login", p.submit(flow, fields), http.StatusOK)
	j.gets("login", kinds("login")...)
	if !p.signedIn() {
		j.t.Error("login: there is no session")
	}
}

var link = regexp.MustCompile(`http://\S+/self-service/\S+`)

// TestLinks has verification and recovery by links, whose hooks come of a GET.
func TestLinks(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := flowsEdge(t, m, "")
	k := newKratos(t, configure(e, everyFlow(e, "link")))
	for _, browser := range []bool{false, true} {
		way := map[bool]string{false: "api", true: "browser"}[browser]
		t.Run(way, func(t *testing.T) {
			j := &journey{person: newPerson(t, k, browser), m: m, address: way + "@example.net"}
			j.sees("registration", j.register(object{"email": j.address, "lang": "de"}), http.StatusOK)
			j.gets("registration", append(kinds("registration"), verify)...)
			newPerson(t, k, true).open(link.FindString(m.text(j.address, verify)))
			j.gets("verification", kinds("verification")...)
			p := newPerson(t, k, browser)
			j.sees("recovery", p.submit(p.start("recovery"), object{"method": "link", "email": j.address}), http.StatusOK)
			j.gets("recovery", recoverIt)
			newPerson(t, k, true).open(link.FindString(m.text(j.address, recoverIt)))
			j.gets("recovery", kinds("recovery")...)
		})
	}
}
