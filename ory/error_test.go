package ory_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

func TestErrorForm(t *testing.T) {
	const messages = `"messages":[{"id":9422003,` +
		`"text":"This address can't receive our e-mail. Please check it or use another one.",` +
		`"type":"error","context":{"reference":"r3f"}}]}`
	const whole = `{"instance_ptr":"#/",` + messages
	for _, test := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"form", nil, `{"messages":[` + whole + `]}`},
		{"field", []string{"#/traits/mail"}, `{"messages":[{"instance_ptr":"#/traits/mail",` + messages + `,` + whole + `]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := ory.ErrRecipient.Respond(w, "r3f", test.fields...); err != nil {
				t.Fatal(err)
			}
			if got := w.Body.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if w.Code != 422 || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("status %d, headers %v", w.Code, w.Header())
			}
		})
	}
}

func TestTraitsOf(t *testing.T) {
	for _, test := range []struct {
		name, ctx string
		addresses []string
		want      []string
	}{
		{"email", `{"identity":{"traits":{"email":"ada@x.example"}}}`, []string{"ada@x.example"}, []string{"#/traits/email"}},
		{
			"another name", `{"identity":{"traits":{"mail":"Ada@X.example "}}}`,
			[]string{"ada@x.EXAMPLE"},
			[]string{"#/traits/mail"},
		},
		{
			"deep", `{"identity":{"traits":{"name":"ada","contact":{"work":{"e/m~a%l":"ada@x.example"}}}}}`,
			[]string{"ada@x.example"},
			[]string{"#/traits/contact/work/e~1m~0a%25l"},
		},
		{
			"array", `{"identity":{"traits":{"emails":["a@x.example","b@x.example"]}}}`,
			[]string{"b@x.example"},
			[]string{"#/traits/emails"},
		},
		{
			"array of objects", `{"identity":{"traits":{"contacts":[{"n":1},{"email":"b@x.example"}]}}}`,
			[]string{"b@x.example"},
			[]string{"#/traits/contacts"},
		},
		{
			"twice", `{"identity":{"traits":{"username":"a@x.example","email":"a@x.example"}}}`,
			[]string{"a@x.example", "A@x.example"},
			[]string{"#/traits/email"},
		},
		{
			"two addresses", `{"identity":{"traits":{"one":"a@x.example","two":"b@x.example"}}}`,
			[]string{"b@x.example", "a@x.example"},
			[]string{"#/traits/two", "#/traits/one"},
		},
		{"part of a trait", `{"identity":{"traits":{"email":"ada@x.example.net"}}}`, []string{"ada@x.example"}, nil},
		{"nobody's", `{"identity":{"traits":{"email":null,"n":1}}}`, []string{"ada@x.example"}, nil},
		{"no traits", `{"identity":{"traits":null}}`, []string{"ada@x.example"}, nil},
		{"no identity", `{"flow":1}`, []string{"ada@x.example"}, nil},
		{
			"traits of the flow", `{"flow":{"identity":{"traits":{"m":"a@x.example"}}}}`,
			[]string{"a@x.example"},
			[]string{"#/traits/m"},
		},
		{
			"former address", `{"identity":{"traits":{"m":"new@x.example"}},"flow":{"identity":{"traits":{"m":"a@x.example"}}}}`,
			[]string{"a@x.example"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var hook ory.Hook
			if err := json.Unmarshal([]byte(test.ctx), &hook.Ctx); err != nil {
				t.Fatal(err)
			}
			if got := hook.TraitsOf(test.addresses); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
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
