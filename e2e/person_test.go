package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// person uses Kratos's flows, by its API or with a browser.
type person struct {
	t       *testing.T
	kratos  *kratos
	client  *http.Client
	browser bool
	// agent is what the browser or app calls itself, if it does.
	agent string
	// token is the session's, by the API.
	token string
}

func newPerson(t *testing.T, k *kratos, browser bool) *person {
	return &person{t: t, kratos: k, client: newClient(), browser: browser}
}

// newAgent is a person whose browser or app has a name.
func newAgent(t *testing.T, k *kratos, browser bool, agent string) *person {
	p := newPerson(t, k, browser)
	p.agent = agent
	return p
}

// seen is what a person gets to see of a step.
type seen struct {
	// status is that of the API; of a browser, 200 means that it went on, 400 that the form is shown again, and
	// others are of the error page.
	status int
	// body is the API's answer, or the flow of a browser's form.
	body object
	// text is the answer as it came.
	text string
}

// errors are the texts of a flow's errors by the names of their fields; that of the form as a whole is at "".
func (s seen) errors() map[string]string {
	found := make(map[string]string)
	collect := func(name string, list any) {
		messages, _ := list.([]any)
		for _, m := range messages {
			if at(m, "type") == "error" {
				found[name], _ = at(m, "text").(string)
			}
		}
	}
	collect("", at(s.body, "ui", "messages"))
	nodes, _ := at(s.body, "ui", "nodes").([]any)
	for _, node := range nodes {
		name, _ := at(node, "attributes", "name").(string)
		collect(name, at(node, "messages"))
	}
	return found
}

// start begins a flow, such as login or login?refresh=true.
func (p *person) start(flow string) object {
	p.t.Helper()
	flow, query, _ := strings.Cut(flow, "?")
	if !p.browser {
		answer := p.do(http.MethodGet, p.kratos.public+"/self-service/"+flow+"/api?"+query, "", nil)
		if answer.status != http.StatusOK {
			p.t.Fatalf("starting %s: %d %s", flow, answer.status, answer.text)
		}
		return answer.body
	}
	answer := p.open(p.kratos.public + "/self-service/" + flow + "/browser?" + query)
	if at(answer.body, "ui") == nil {
		p.t.Fatalf("starting %s: %d %s", flow, answer.status, answer.text)
	}
	return answer.body
}

// submit sends a flow's form.
func (p *person) submit(flow object, fields object) seen {
	p.t.Helper()
	action, _ := at(flow, "ui", "action").(string)
	if !p.browser {
		body, err := json.Marshal(fields)
		if err != nil {
			p.t.Fatal(err)
		}
		answer := p.do(http.MethodPost, action, "application/json", body)
		if token, ok := answer.body["session_token"].(string); ok {
			p.token = token
		}
		return answer
	}
	form := make(url.Values)
	flatten(form, "", fields)
	form.Set("csrf_token", fieldValue(flow, "csrf_token"))
	answer := p.do(http.MethodPost, action, "application/x-www-form-urlencoded", []byte(form.Encode()))
	return p.follow(answer)
}

// fieldValue returns the value of a field of a flow's form.
func fieldValue(flow object, name string) string {
	nodes, _ := at(flow, "ui", "nodes").([]any)
	for _, node := range nodes {
		if at(node, "attributes", "name") == name {
			value, _ := at(node, "attributes", "value").(string)
			return value
		}
	}
	return ""
}

// flatten has a field for each value. Kratos takes transient_payload as JSON in one field alone.
func flatten(form url.Values, prefix string, fields object) {
	for name, value := range fields {
		if name == "transient_payload" {
			encoded, err := json.Marshal(value)
			if err != nil {
				panic(err)
			}
			form.Set(name, string(encoded))
			continue
		}
		if child, ok := value.(object); ok {
			flatten(form, prefix+name+".", child)
			continue
		}
		form.Set(prefix+name, fmt.Sprint(value))
	}
}

// open opens an address in the browser.
func (p *person) open(address string) seen {
	p.t.Helper()
	return p.follow(p.do(http.MethodGet, address, "", nil))
}

// follow looks at where a browser is sent to: the page of a flow, an error, or the place for those who have succeeded.
func (p *person) follow(answer seen) seen {
	p.t.Helper()
	for answer.status == http.StatusSeeOther || answer.status == http.StatusFound {
		target, err := url.Parse(answer.text)
		if err != nil {
			p.t.Fatal(err)
		}
		name := strings.TrimPrefix(target.Path, "/")
		switch id := target.Query().Get("flow"); {
		case target.Host == strings.TrimPrefix(p.kratos.public, "http://"):
			answer = p.do(http.MethodGet, answer.text, "", nil)
		case name == "error":
			shown := p.do(http.MethodGet, p.kratos.public+"/self-service/errors?id="+target.Query().Get("id"), "", nil)
			code, _ := at(shown.body, "error", "code").(float64)
			return seen{int(code), shown.body, shown.text}
		case id == "":
			return seen{status: http.StatusOK}
		default:
			shown := p.do(http.MethodGet, p.kratos.public+"/self-service/"+name+"/flows?id="+id, "", nil)
			if len(shown.errors()) > 0 {
				shown.status = http.StatusBadRequest
			}
			return shown
		}
	}
	return answer
}

// do makes a request. The text of a redirection is its target.
func (p *person) do(method, address, contentType string, body []byte) seen {
	p.t.Helper()
	r, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if p.browser && !strings.Contains(address, "/flows?") && !strings.Contains(address, "/errors?") {
		r.Header.Set("Accept", "text/html")
	}
	r.Header.Set("Accept-Language", "de-CH,de;q=0.9,en;q=0.7")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if p.agent != "" {
		r.Header.Set("User-Agent", p.agent)
	}
	if p.token != "" {
		r.Header.Set("X-Session-Token", p.token)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if location := answer.Header.Get("Location"); location != "" && answer.StatusCode/100 == 3 {
		return seen{answer.StatusCode, nil, location}
	}
	var value object
	_ = json.Unmarshal(text, &value) // else it is nil
	return seen{answer.StatusCode, value, string(text)}
}

// signedIn reports whether the person has a session.
func (p *person) signedIn() bool {
	p.t.Helper()
	return p.do(http.MethodGet, p.kratos.public+"/sessions/whoami", "", nil).status == http.StatusOK
}

const password = "correct-horse-battery-staple"

// register registers with a password, and returns what the person sees.
func (p *person) register(traits object) seen {
	p.t.Helper()
	return p.submit(p.start("registration"), object{"method": "password", "password": password, "traits": traits})
}

func (p *person) login(identifier, password string) seen {
	p.t.Helper()
	return p.submit(p.start("login"), object{"method": "password", "identifier": identifier, "password": password})
}

// identities returns how many there are with the address or name.
func (k *kratos) identities(identifier string) []any {
	k.t.Helper()
	answer, err := http.Get(k.admin + "/admin/identities?credentials_identifier=" + url.QueryEscape(identifier))
	if err != nil {
		k.t.Fatal(err)
	}
	defer answer.Body.Close()
	var found []any
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		k.t.Fatal(err)
	}
	return found
}
