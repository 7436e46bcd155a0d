package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func get(t *testing.T, h http.Handler, method, target string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPage(t *testing.T) {
	s, c, _ := start(t)
	if w := get(t, s, "GET", "/", nil); w.Code != 200 || !strings.Contains(w.Body.String(), "No mail yet") {
		t.Errorf("empty page: %d %s", w.Code, w.Body)
	}
	const script = `<script>alert(1)</script>`
	if _, err := c.Send(t.Context(),
		request(t, `{"message":{"subject":"`+script+`","html":"<b>Hi</b>`+script+`","text":"plain",`+to("ada@example.net")+
			`}}`)); err != nil {
		t.Fatal(err)
	}
	id := s.Mails()[0].ID
	list := get(t, s, "GET", "/", nil).Body.String()
	page := get(t, s, "GET", "/mail/"+id, nil)
	if !strings.Contains(list, "mail/"+id) || !strings.Contains(list, "ada@example.net") ||
		strings.Contains(list, script) || strings.Contains(page.Body.String(), script) {
		t.Errorf("list %s\npage %s", list, page.Body)
	}
	html := get(t, s, "GET", "/mail/"+id+"/html", nil)
	if policy := html.Header().Get("Content-Security-Policy"); !strings.Contains(html.Body.String(), "<b>Hi</b>") ||
		!strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("HTML under %q: %s", policy, html.Body)
	}
	for target, want := range map[string]int{
		"/mail/none": 404, "/mail/none/html": 404, "/sandbox/messages/none": 404, "/sandbox/messages/" + id: 200,
		"/nowhere": 404,
	} {
		if w := get(t, s, "GET", target, nil); w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := get(t, s, "DELETE", "/sandbox/messages", nil); w.Code != 204 || len(s.Mails()) != 0 {
		t.Errorf("clearing: %d, %d mails", w.Code, len(s.Mails()))
	}
	if w := get(t, s, "GET", "/sandbox/messages", nil); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("no mails are listed as %s", w.Body)
	}
}

func TestForeignPagesChangeNothing(t *testing.T) {
	s, c, _ := start(t)
	if _, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	for target, method := range map[string]string{
		"/sandbox/messages": "DELETE", "/sandbox/fail": "POST", "/api/1.0/messages/send": "POST",
	} {
		w := get(t, s, method, "http://localhost"+target, func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
		})
		if w.Code != http.StatusForbidden || len(s.Mails()) != 1 {
			t.Errorf("%s: %d, %d mails", target, w.Code, len(s.Mails()))
		}
	}
}

// events reads the events of the page until one of a kind, and returns its data.
func events(t *testing.T, address string) (next func(kind string) string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/sandbox/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	return func(kind string) string {
		t.Helper()
		present := ""
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				present = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && present == kind {
				return data
			}
		}
		t.Fatalf("no event %s came: %v", kind, lines.Err())
		return ""
	}
}

func TestEvents(t *testing.T) {
	s, c, address := start(t)
	next := events(t, address)
	if mails := next("mails"); mails != "[]" {
		t.Errorf("at first there is %s", mails)
	}
	if state := next("state"); state != `{"calls":[],"failures":[],"settings":{}}` {
		t.Errorf("at first the state is %s", state)
	}
	send := func(subject string) {
		t.Helper()
		if _, err := c.Send(t.Context(),
			request(t, `{"message":{"subject":"`+subject+`",`+to("ada@example.net")+`}}`)); err != nil {
			t.Log(err)
		}
	}
	send("one")
	if mail := next("mail"); !strings.Contains(mail, `"subject":"one"`) || !strings.Contains(mail, `"status":"sent"`) {
		t.Errorf("what came is %s", mail)
	}
	if err := s.Fail(sandbox.Failure{Calls: 2, Status: 503}); err != nil {
		t.Fatal(err)
	}
	send("fails")
	for {
		state := next("state")
		if strings.Contains(state, `"name":"ServiceUnavailable","to":"ada@example.net"`) {
			if !strings.Contains(state, `"status":503`) || !strings.Contains(state, `"failures":[{"calls":1,"status":503}]`) {
				t.Errorf("after a failure the state is %s", state)
			}
			break
		}
	}
	s.Clear()
	if mails := next("mails"); mails != "[]" {
		t.Errorf("after clearing there is %s", mails)
	}
}

// TestListOfLongSubjects: the list has all mails.
func TestListOfLongSubjects(t *testing.T) {
	s, c, address := start(t)
	if _, err := c.Send(t.Context(),
		request(t, `{"message":{"subject":"`+strings.Repeat("*|X|*", 150)+`","global_merge_vars":[{"name":"x","content":"`+
			strings.Repeat("x", 1<<20)+`"}],`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	if mails := events(t, address)("mails"); len(mails) > 4<<10 || !strings.Contains(mails, "*|X|*") {
		t.Errorf("the list has %d bytes", len(mails))
	}
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/api/1.0/messages/send",
		strings.NewReader(`{"key":"k","message":{"from_email":"a@example.com","subject":"`+strings.Repeat("x", 1<<20)+`",`+
			to("ada@example.net")+`}}`)))
	if n := len(s.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
	if n := get(t, s, "GET", "/", nil).Body.Len(); n > 100<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}

func TestFind(t *testing.T) {
	s, c, _ := start(t)
	for _, message := range []string{
		`{"message":{"subject":"Welcome","html":"<b>Code 123</b>",` + to("ada@example.net") + `}}`,
		`{"template_name":"recover","message":{"subject":"","tags":["urgent"],` + to("reject@test.mandrillapp.com") + `}}`,
	} {
		if _, err := c.Send(t.Context(), request(t, message)); err != nil {
			t.Fatal(err)
		}
	}
	second, first := s.Mails()[0].ID, s.Mails()[1].ID
	for query, want := range map[string][]string{
		"": {second, first}, "welcome": {first}, "CODE+ada": {first}, "code+grace": {}, "recover": {second},
		"urgent": {second}, "rejected": {second},
	} {
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(get(t, s, "GET", "/sandbox/find?q="+query, nil).Body.String()); got != string(encoded) {
			t.Errorf("%q finds %s, want %s", query, got, encoded)
		}
	}
}

func TestMailForARecipient(t *testing.T) {
	s, c, _ := start(t)
	if _, err := c.Send(t.Context(),
		request(t, `{"message":{"html":"Hi *|NAME|*",`+to("ada@example.net", "bo@example.net")+`,
		"merge_vars":[{"rcpt":"bo@example.net","vars":[{"name":"name","content":"Bo"}]}],
		"attachments":[{"type":"text/plain","name":"a","content":"aGk="}]}}`)); err != nil {
		t.Fatal(err)
	}
	page := "/mail/" + s.Mails()[0].ID
	for target, want := range map[string]string{
		page + "?to=1": `"to":1`, page: `"problems":["*|NAME|* has no value and stays as it is"]`,
		page + "/html?to=1": "Hi Bo", page + "/html": "Hi *|NAME|*", page + "/file/0": "hi", page + "/file/1": "no such file",
	} {
		if got := get(t, s, "GET", target, nil).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s is %s", target, got)
		}
	}
}
