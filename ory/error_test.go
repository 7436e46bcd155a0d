package ory_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func TestErrorForm(t *testing.T) {
	w := httptest.NewRecorder()
	if err := ory.ErrRecipient.Respond(w, "r3f"); err != nil {
		t.Fatal(err)
	}
	want := `{"messages":[{"instance_ptr":"#/traits/email","messages":[{"id":9422003,` +
		`"text":"This address can't receive our e-mail. Please check it or use another one.",` +
		`"type":"error","context":{"reference":"r3f"}}]}]}`
	if got := w.Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if w.Code != 422 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
}

func TestErrorHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	if err := ory.ErrMethod.Respond(w, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q", got)
	}

	rd := &ory.Reader{}
	if err := rd.Auth.Basic("ory", "secret"); err != nil {
		t.Fatal(err)
	}
	_, refusal := rd.Read(httptest.NewRequest(http.MethodPost, "/", nil))
	w = httptest.NewRecorder()
	if err := refusal.Respond(w, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.HasPrefix(got, "Basic ") {
		t.Errorf("status %d, WWW-Authenticate: %q", w.Code, got)
	}
}

func TestErrorsAreDistinctAndDocumented(t *testing.T) {
	reference, err := os.ReadFile("../docs/answers.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, e := range ory.Errors() {
		if seen[e.ID] {
			t.Errorf("%d stands twice", e.ID)
		}
		seen[e.ID] = true
		if e.ID/1000 != 9000+e.Status {
			t.Errorf("%d doesn't begin with 9 and the status %d", e.ID, e.Status)
		}
		row := "| " + strconv.Itoa(e.ID) + " | " + strconv.Itoa(e.Status) + " |"
		if !strings.Contains(string(reference), row) {
			t.Errorf("docs/answers.md has no row %q", row)
		}
		if !json.Valid([]byte(strconv.Quote(e.Text))) || e.Text == "" {
			t.Errorf("%d: text %q", e.ID, e.Text)
		}
	}
}
