package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
	if _, err := c.Send(t.Context(), request(t, `{"message":{"subject":"`+script+`","html":"<b>Hi</b>`+script+`","text":"plain",`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	id := s.Mails()[0].ID
	list := get(t, s, "GET", "/", nil).Body.String()
	page := get(t, s, "GET", "/mail/"+id, nil)
	if !strings.Contains(list, "mail/"+id) || !strings.Contains(list, "ada@example.net") || strings.Contains(list, script) || strings.Contains(page.Body.String(), script) {
		t.Errorf("list %s\npage %s", list, page.Body)
	}
	html := get(t, s, "GET", "/mail/"+id+"/html", nil)
	if policy := html.Header().Get("Content-Security-Policy"); !strings.Contains(html.Body.String(), "<b>Hi</b>") || !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("HTML under %q: %s", policy, html.Body)
	}
	for target, want := range map[string]int{"/mail/none": 404, "/mail/none/html": 404, "/sandbox/messages/none": 404, "/sandbox/messages/" + id: 200, "/nowhere": 404} {
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
	w := get(t, s, "DELETE", "http://localhost/sandbox/messages", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	if w.Code != http.StatusForbidden || len(s.Mails()) != 1 {
		t.Errorf("%d, %d mails", w.Code, len(s.Mails()))
	}
}
