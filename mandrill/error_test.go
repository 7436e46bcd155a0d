package mandrill

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
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

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"7":                             7 * time.Second,
		"1.5":                           0,
		"soon":                          0,
		"99999999999":                   1 << 31 * time.Second,
		"99999999999999999999":          0,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute,
		"Wed, 02 Jan 2030 03:04:04 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestInfo(t *testing.T) {
	for body, want := range map[string]Info{
		`{"_id":"1","state":"sent","email":"ada@example.net","metadata":{"entry":"e1"},"reject":null,"new":1}`: {ID: "1", State: "sent", Email: "ada@example.net", Metadata: map[string]any{"entry": "e1"}},
		`{"_id":"1","state":"rejected","metadata":[],"reject":{"reason":"unsigned","last_event_at":"x"}}`:      {ID: "1", State: "rejected", RejectReason: "unsigned"},
		`{"_id":"1","state":"queued","reject":[]}`:                                                             {ID: "1", State: "queued"},
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

// brokenConn is a connection that was kept and is gone when it is used again.
type brokenConn struct {
	net.Conn
	gone *atomic.Bool
}

func (c brokenConn) Write(data []byte) (int, error) {
	if c.gone.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(data)
}

// TestLostConnection: a message of which nothing could be written is not with Mandrill.
func TestLostConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"PING":"PONG!"}`)
	}))
	defer server.Close()
	c, err := New("key", WithBaseURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	var gone atomic.Bool
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if gone.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return brokenConn{conn, &gone}, err
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone.Store(true)
	var failure *Error
	if err := c.Ping(t.Context()); !errors.As(err, &failure) || failure.Kind != Retry || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

// FuzzAnswer reads any answer, and knows what to do about it.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`[{"email":"a@b.c","status":"sent","_id":"1"}]`))
	f.Add(500, []byte(`{"status":"error","code":-1,"name":"Invalid_Key","message":"x"}`))
	f.Add(204, []byte(``))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		var err error = answerError(status, http.Header{}, data)
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
