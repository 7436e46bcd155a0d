package mandrill

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// TestDocumentedErrors looks for the errors of Mailchimp's description of the API.
func TestDocumentedErrors(t *testing.T) {
	data, err := os.ReadFile("../../shared/mandrill/transactional.openapi.json")
	if err != nil {
		t.Skip("Mailchimp's description of the API is not here")
	}
	var description struct {
		Components struct {
			Schemas map[string]struct{ Example any }
		}
	}
	if err := json.Unmarshal(data, &description); err != nil {
		t.Fatal(err)
	}
	found := 0
	for schema, s := range description.Components.Schemas {
		example, ok := s.Example.(map[string]any)
		if !ok || example["status"] != "error" {
			continue
		}
		found++
		if name, _ := example["name"].(string); kinds[name] == "" {
			t.Errorf("%s: there is no kind for %s", schema, name)
		}
	}
	if found < 30 {
		t.Errorf("found %d errors", found)
	}
}

func TestInfo(t *testing.T) {
	for body, want := range map[string]Info{
		`{"_id":"1","state":"sent","email":"ada@example.net","metadata":{"entry":"e1"},"reject":null,"new":1}`: {
			ID: "1", State: "sent", Email: "ada@example.net", Metadata: map[string]any{"entry": "e1"},
		},
		`{"_id":"1","state":"rejected","metadata":[],"reject":{"reason":"unsigned","last_event_at":"x"}}`: {
			ID: "1", State: "rejected", RejectReason: "unsigned",
		},
		`{"_id":"1","state":"queued","reject":[]}`: {ID: "1", State: "queued"},
	} {
		var got Info
		if err := json.Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for _, body := range []string{`[]`, `{"_id":1}`, `{"reject":{"reason":1}}`} {
		if err := json.Unmarshal([]byte(body), new(Info)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// FuzzAnswer reads any answer, and knows what to do about it.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`[{"email":"a@b.c","status":"sent","_id":"1"}]`))
	f.Add(500, []byte(`{"status":"error","code":-1,"name":"Invalid_Key","message":"x"}`))
	f.Add(204, []byte(``))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		var err error = answerError(&mailchimp.Answer{Status: status, Body: data})
		if status == http.StatusOK {
			if err = decodeAnswer(data, new([]Recipient)); err == nil {
				return
			}
		}
		var failure *Error
		if !errors.As(err, &failure) {
			t.Fatalf("got a %T: %v", err, err)
		}
		switch failure.Kind {
		case Refused, Account, Retry, Unknown:
		default:
			t.Errorf("the kind is %q", failure.Kind)
		}
	})
}
