package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a sandbox, and checks all that passes between it and its clients against Mailchimp's
// description of the API, where that is at hand.
func start(t *testing.T) (*sandbox.Sandbox, *mandrill.Client, string) {
	t.Helper()
	s := sandbox.New()
	server := httptest.NewServer(described(t, s))
	t.Cleanup(server.Close)
	c, err := mandrill.New("key", mandrill.WithBaseURL(server.URL+"/api/1.0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return s, c, server.URL
}

const description = "../../../shared/mandrill/transactional.openapi.json"

// described validates requests and answers of the API.
func described(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	data, err := os.ReadFile(description)
	if err != nil {
		t.Log("Mailchimp's description of the API is not here: nothing is compared with it")
		return next
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	// The description contradicts itself there: what it extends allows no further fields.
	schemas := document.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for _, extended := range []string{"ApiKey", "Error"} {
		delete(schemas[extended].(map[string]any), "additionalProperties")
	}
	repair(document)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("mandrill.json", document); err != nil {
		t.Fatal(err)
	}
	check := func(pointer string, body []byte) {
		schema, err := compiler.Compile("mandrill.json#" + pointer)
		if err != nil {
			t.Errorf("compiling %s: %v", pointer, err)
			return
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
		if err != nil {
			t.Errorf("%s: %v", pointer, err)
			return
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s doesn't take\n%s\n%v", pointer, body, err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, isAPI := strings.CutPrefix(r.URL.Path, "/api/1.0/")
		if !isAPI {
			next.ServeHTTP(w, r)
			return
		}
		operation := "/paths/" + strings.ReplaceAll("/"+path, "/", "~1") + "/post"
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		if recorder.Code == http.StatusOK && json.Valid(recorder.Body.Bytes()) {
			check(operation+"/requestBody/content/application~1json/schema", body)
			check(operation+"/responses/200/content/application~1json/schema", recorder.Body.Bytes())
		} else if json.Valid(recorder.Body.Bytes()) {
			check("/components/schemas/Error", recorder.Body.Bytes())
		}
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
	})
}

// repair removes contradictions from the description. Fields that may be null have null among their values, as in the
// examples; and what extends the arguments of all calls may have fields of its own.
func repair(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		types, _ := schema["type"].([]any)
		if values, ok := schema["enum"].([]any); ok && slices.Contains(types, any("null")) {
			schema["enum"] = append(values, nil)
		}
		parts, _ := schema["allOf"].([]any)
		for _, part := range parts {
			delete(part.(map[string]any), "additionalProperties")
		}
		for _, part := range schema {
			repair(part)
		}
	case []any:
		for _, part := range schema {
			repair(part)
		}
	}
}

func request(t *testing.T, body string) *mandrill.Request {
	t.Helper()
	p, err := mandrill.NewPolicy([]string{"example.com", "new.invalid"}, "hello@example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := mandrill.ParseRequest([]byte(body), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func to(addresses ...string) string {
	return `"to":[{"email":"` + strings.Join(addresses, `"},{"email":"`) + `"}]`
}

func TestWait(t *testing.T) {
	s, c, _ := start(t)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Wait(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for nothing: %v", err)
	}
	sent := make(chan error)
	go func() {
		_, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`))
		sent <- err
	}()
	mails, err := s.Wait(t.Context(), 1)
	if err != nil || len(mails) != 1 || mails[0].Message.To[0].Email != "ada@example.net" {
		t.Errorf("got %v, %v", mails, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
