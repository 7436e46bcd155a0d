package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
)

// TestAudience has people of a real Kratos say yes and no to a newsletter, with the template of
// examples/audience, and a mail from the same registration.
func TestAudience(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("../examples/audience/newsletter.jsonnet")
	if err != nil {
		t.Fatal(err)
	}
	m := newMandrill(t)
	members := sandbox.New()
	server := httptest.NewServer(members)
	t.Cleanup(server.Close)
	e := newEdgeWith(t, m, "", "mailchimp_hook /hooks/registration named.jsonnet {\n"+authLines+"}\n"+
		"mailchimp_hook /courier named.jsonnet {\n"+authLines+"}\n"+
		"mailchimp_audience /hooks/audience newsletter.jsonnet {\napi_key key\nlist club\n"+
		"api_base "+server.URL+"/3.0\n"+authLines+"}\n",
		map[string]string{
			"named.jsonnet":      strings.ReplaceAll(named, "ctx.hook", "std.get(ctx, 'hook', 'courier')"),
			"newsletter.jsonnet": string(template),
		})
	session := object{"hook": "session"}
	k := newKratos(t, configure(e, object{
		"registration": object{"after": object{"password": object{"hooks": []object{
			hook(e, "registration", "ignore", "header"), hook(e, "audience", "ignore", "header"), session,
		}}}},
		"settings": object{"after": object{"profile": object{"hooks": []object{hook(e, "audience", "ignore", "header")}}}},
	}))
	s := &subscriber{t: t, members: members, base: server.URL + "/3.0"}

	t.Run("consent", func(t *testing.T) { s.consent(t, k, m) })
	t.Run("no consent", func(t *testing.T) {
		p := newPerson(t, k, false)
		must(t, "registration", p.register(object{"email": "no@example.net", "newsletter": false}))
		p.profile(t, object{"email": "no@example.net", "newsletter": false, "name": object{"first": "No"}})
		p.profile(t, object{"email": "no@example.net", "newsletter": true})
		s.becomes(t, "no@example.net", "subscribed")
	})
	t.Run("minds changed in one flow", func(t *testing.T) {
		p := newPerson(t, k, false)
		must(t, "registration", p.register(object{"email": "may@example.net", "newsletter": true}))
		s.becomes(t, "may@example.net", "subscribed")
		// Kratos posts equal bodies for the first and the third.
		flow := p.start("settings")
		for i, status := range []string{"archived", "pending", "archived"} {
			traits := object{"email": "may@example.net", "newsletter": i == 1}
			must(t, "profile", p.submit(flow, object{"method": "profile", "traits": traits}))
			s.becomes(t, "may@example.net", status)
		}
	})
	t.Run("registered again", func(t *testing.T) {
		must(t, "registration", newPerson(t, k, false).register(object{"email": "again@example.net", "newsletter": true}))
		s.becomes(t, "again@example.net", "subscribed")
		k.forget("again@example.net")
		traits := object{"email": "again@example.net", "newsletter": true, "name": object{"first": "Again"}}
		must(t, "registration", newPerson(t, k, false).register(traits))
		s.wait(t, "the name of the second registration", func(m sandbox.Member) bool {
			return m.Email == "again@example.net" && m.Status == "subscribed" && m.MergeFields["FNAME"] == "Again"
		})
	})
	t.Run("unsubscribed before", func(t *testing.T) {
		s.call(t, http.MethodPost, "/lists/club/members", `{"email_address":"gone@example.net","status":"unsubscribed"}`)
		p := newPerson(t, k, false)
		traits := object{"email": "gone@example.net", "newsletter": true, "name": object{"first": "Gone"}}
		must(t, "registration", p.register(traits))
		s.wait(t, "the registration", func(m sandbox.Member) bool {
			return m.Email == "gone@example.net" && m.MergeFields["FNAME"] == "Gone"
		})
		p.profile(t, object{"email": "gone.too@example.net", "newsletter": true})
		s.becomes(t, "gone.too@example.net", "unsubscribed")
		s.becomes(t, "gone@example.net", "unsubscribed")
	})
}

// subscriber looks at the audience.
type subscriber struct {
	t       *testing.T
	members *sandbox.Sandbox
	base    string
}

// consent subscribes a person, follows their address, and lets them withdraw and come back.
func (s *subscriber) consent(t *testing.T, k *kratos, m *mandrill) {
	p := newPerson(t, k, false)
	traits := object{"email": "ada@example.net", "newsletter": true, "name": object{"first": "Ada", "last": "Lovelace"}}
	must(t, "registration", p.register(traits))
	s.wait(t, "the registration", func(m sandbox.Member) bool {
		return m.Email == "ada@example.net" && m.Status == "subscribed" &&
			m.MergeFields["LNAME"] == "Lovelace" && m.Language == "de" &&
			slices.Equal(m.Tags, []sandbox.Tag{{Name: "account"}})
	})
	m.wait(t, 30*time.Second, "the mail of the registration", func() bool {
		return slices.Contains(m.subjects("ada@example.net"), "registration")
	})
	traits["email"] = "ada.king@example.net"
	p.profile(t, traits)
	s.becomes(t, "ada.king@example.net", "subscribed")
	s.becomes(t, "ada@example.net", "archived")
	traits["newsletter"] = false
	p.profile(t, traits)
	s.becomes(t, "ada.king@example.net", "archived")
	traits["newsletter"] = true
	p.profile(t, traits)
	s.becomes(t, "ada.king@example.net", "pending")
}

func must(t *testing.T, step string, got seen) {
	t.Helper()
	if got.status != http.StatusOK {
		t.Fatalf("%s: %d %s", step, got.status, got.text)
	}
}

// profile changes the traits.
func (p *person) profile(t *testing.T, traits object) {
	t.Helper()
	must(t, "profile", p.submit(p.start("settings"), object{"method": "profile", "traits": traits}))
}

// forget deletes the account with an address.
func (k *kratos) forget(identifier string) {
	k.t.Helper()
	for _, identity := range k.identities(identifier) {
		r, err := http.NewRequest(http.MethodDelete, k.admin+"/admin/identities/"+at(identity, "id").(string), nil)
		if err != nil {
			k.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			k.t.Fatal(err)
		}
		answer.Body.Close()
	}
}

// becomes waits until an address has a status.
func (s *subscriber) becomes(t *testing.T, address, status string) {
	t.Helper()
	s.wait(t, address+" becomes "+status, func(m sandbox.Member) bool { return m.Email == address && m.Status == status })
}

func (s *subscriber) wait(t *testing.T, what string, holds func(sandbox.Member) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		members := s.members.Members()
		if slices.ContainsFunc(members, holds) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: it never came to that: %+v", what, members)
		}
	}
}

// call calls the stand-in as somebody else does.
func (s *subscriber) call(t *testing.T, method, path, body string) {
	t.Helper()
	r, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("x", "key")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d", method, path, answer.StatusCode)
	}
}
