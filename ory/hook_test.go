package ory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

const maxBody = 1 << 20

func reader(t testing.TB) *ory.Reader {
	t.Helper()
	rd := &ory.Reader{MaxBody: maxBody}
	if err := rd.Auth.Header("X-Hook-Key", "secret"); err != nil {
		t.Fatal(err)
	}
	return rd
}

func post(body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/welcome", body)
	r.Header.Set("X-Hook-Key", "secret")
	r.Header.Set("Content-Type", "application/json")
	return r
}

func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
}

func TestReadBody(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       *ory.Error
	}{
		{"object", `{"a":1}`, nil},
		{"empty object", ` {} `, nil},
		{"empty body", ``, ory.ErrEmpty},
		{"blank body", " \n", ory.ErrNotJSON},
		{"array", `[]`, ory.ErrNotObject},
		{"null", `null`, ory.ErrNotObject},
		{"string", `"{}"`, ory.ErrNotObject},
		{"cut off", `{"a":`, ory.ErrNotJSON},
		{"two values", `{}{}`, ory.ErrNotJSON},
		{"jsonnet", `{a: import '/etc/passwd'}`, ory.ErrNotJSON},
		{"number beyond float64", `{"a":1e999}`, ory.ErrNotJSON},
		{"as deep as allowed", nested(ory.MaxDepth - 1), nil},
		{"one level deeper", nested(ory.MaxDepth), ory.ErrTooDeep},
		{"20,000 nested arrays", strings.Repeat("[", 20_000), ory.ErrTooDeep},
		{"wide, not deep", `{"a":[` + strings.Repeat("[],", 1000) + `[]]}`, nil},
		{"brackets in a string", `{"a":"` + strings.Repeat("[", 1000) + `"}`, nil},
		{"brackets after an escaped quote", `{"a":"\"` + strings.Repeat("[", 1000) + `"}`, nil},
		{"as large as allowed", `{"a":"` + strings.Repeat("x", maxBody-8) + `"}`, nil},
		{"a byte larger", `{"a":"` + strings.Repeat("x", maxBody-7) + `"}`, ory.ErrTooLarge},
	} {
		for _, chunked := range []bool{false, true} {
			name := test.name
			if chunked {
				name += ", length unknown"
			}
			t.Run(name, func(t *testing.T) {
				r := post(strings.NewReader(test.body))
				if chunked {
					r.ContentLength = -1
				}
				hook, err := reader(t).Read(r)
				if err != test.want {
					t.Fatalf("got error %v, want %v", err, test.want)
				}
				if err == nil && hook.Body != test.body {
					t.Error("the body changed")
				}
			})
		}
	}
}

func TestReadKeepsStringsAsData(t *testing.T) {
	hook, err := reader(t).Read(post(strings.NewReader("{\"crlf\":\"a\\r\\nb\",\"html\":\"<b>&\"," +
		"\"surrogate\":\"\\ud800x\",\"bytes\":\"\xff\",\"big\":9007199254740993}")))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"crlf": "a\r\nb", "html": "<b>&", "surrogate": "\ufffdx", "bytes": "\ufffd", "big": 9007199254740992.0,
	}
	if !reflect.DeepEqual(hook.Ctx, want) {
		t.Errorf("got %#v", hook.Ctx)
	}
}

func TestReadOrderOfChecks(t *testing.T) {
	// Each request has the faults of all that come after it.
	r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(strings.Repeat("[", maxBody+1)))
	for _, step := range []struct {
		want *ory.Error
		fix  func()
	}{
		{ory.ErrMethod, func() { r.Method = http.MethodPost }},
		{ory.ErrCredentials, func() { r.Header.Set("X-Hook-Key", "secret") }},
		{ory.ErrContentType, func() { r.Header.Set("Content-Type", "application/json") }},
		{ory.ErrTooLarge, func() { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("[")), 1 }},
		{ory.ErrNotJSON, func() {}},
	} {
		if _, err := reader(t).Read(r); err != step.want {
			t.Fatalf("got %v, want %v", err, step.want)
		}
		step.fix()
	}
}

func TestReadContentType(t *testing.T) {
	for contentType, want := range map[string]*ory.Error{
		"application/json":                  nil,
		"Application/JSON":                  nil,
		"application/json; charset=utf-8":   nil,
		"application/json; charset":         nil,
		"":                                  ory.ErrContentType,
		"text/json":                         ory.ErrContentType,
		"application/jsonp":                 ory.ErrContentType,
		"application/x-www-form-urlencoded": ory.ErrContentType,
		"application/json, text/plain":      ory.ErrContentType,
	} {
		r := post(strings.NewReader("{}"))
		r.Header.Set("Content-Type", contentType)
		if _, err := reader(t).Read(r); err != want {
			t.Errorf("%q: got %v, want %v", contentType, err, want)
		}
	}
}

func TestReadBrokenConnection(t *testing.T) {
	r := post(iotest.ErrReader(errors.New("connection reset")))
	r.ContentLength = 100
	if _, err := reader(t).Read(r); err != ory.ErrUnreadable {
		t.Errorf("got %v", err)
	}
}

func TestReadCaptures(t *testing.T) {
	files, err := filepath.Glob("../../shared/ory/captures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("the captured requests are not here")
	}
	for _, file := range files {
		if filepath.Base(file) == "INDEX.json" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var capture struct {
				Request struct {
					Method  string            `json:"method"`
					Headers map[string]string `json:"headers"`
				} `json:"request"`
				Body    any    `json:"body"`
				RawBody string `json:"raw_body"`
			}
			if err := json.Unmarshal(data, &capture); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(capture.Request.Method, "/", strings.NewReader(capture.RawBody))
			for name, value := range capture.Request.Headers {
				r.Header.Set(name, value)
			}
			var rd ory.Reader
			rd.MaxBody = maxBody
			rd.Auth.Off()
			var want *ory.Error
			switch {
			case capture.Request.Method != http.MethodPost:
				want = ory.ErrMethod
			case capture.Request.Headers["Content-Type"] != "application/json":
				want = ory.ErrContentType
			}
			hook, got := rd.Read(r)
			if got != want {
				t.Fatalf("got %v, want %v", got, want)
			}
			if got == nil && !reflect.DeepEqual(any(hook.Ctx), capture.Body) {
				t.Error("ctx differs from the captured body")
			}
		})
	}
}

// FuzzRead compares with encoding/json.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":[1,{"b":"\"["}]}`, `[`, `null`, "{\"\xff\":\"\\ud800\"}", nested(200), `{"a":1,"a":{"b":[]},"a":[]}`,
		" {\"a\" :\t[ 1 , true,false\r\n,null ] } ", `{} x`, `{"a"}`, `{"a":1,}`, `{,}`, `[1,]`, `{1:2}`,
		`{"a":"\u00e9\ud83d\ude00\ud83dx\ud83d\u0041\ude00\u12"}`, `{"a":"\u+123"}`, `{"a":"\uD83D\uDE00\/\b\f\n\r\t\\"}`,
		`{"a":"\'"}`, "{\"a\":\"\xe2\x82 \xf0\x9f\x98\x80\x7f\xc0\xaf\"}", "{\"a\":\"\n\"}", `{"a":"\`, `{"a":"\u123`, `"`,
		`{"a":[0,-0,1.5e3,1E-400,-1.0e+2,9007199254740993]}`, `{"a":1e999}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`,
		`{"a":1e}`, `{"a":+1}`, `{"a":0x1}`, `{"a":1_0}`, `{"a":Inf}`, `{"a":nul}`, `{"a":truex}`,
	} {
		f.Add([]byte(seed))
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		hook, got := reader(t).Read(post(bytes.NewReader(body)))
		var want any
		err := json.Unmarshal(body, &want)
		switch _, isObject := want.(map[string]any); {
		case len(body) == 0:
			if got != ory.ErrEmpty {
				t.Errorf("got %v for nothing", got)
			}
		case got == ory.ErrTooDeep:
			if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= ory.MaxDepth {
				t.Error("it isn't that deep")
			}
		case err != nil:
			if got != ory.ErrNotJSON {
				t.Errorf("got %v for what encoding/json refuses: %v", got, err)
			}
		case !isObject:
			if got != ory.ErrNotObject {
				t.Errorf("got %v for %T", got, want)
			}
		case got != nil:
			t.Errorf("refused: %v", got)
		case !reflect.DeepEqual(any(hook.Ctx), want):
			t.Errorf("got %#v, encoding/json makes %#v", hook.Ctx, want)
		}
	})
}
