package caddymodule_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// TestStalledHooks ends calls whose bodies don't arrive, with and without the right credentials.
func TestStalledHooks(t *testing.T) {
	caddymodule.SetBodyTimeout(200 * time.Millisecond)
	t.Cleanup(func() { caddymodule.SetBodyTimeout(10 * time.Second) })
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	for key, want := range map[string]int{"wrong": http.StatusUnauthorized, edgetest.HookKey: http.StatusBadRequest} {
		connection, err := net.Dial("tcp", e.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		_, _ = fmt.Fprintf(connection, "POST /hooks/welcome HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
			"X-Hook-Key: %s\r\nContent-Length: 100\r\n\r\n{", e.Address, key)
		_ = connection.SetReadDeadline(time.Now().Add(5 * time.Second))
		from := bufio.NewReader(connection)
		answer, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatalf("with the key %s: %v", key, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if _, err := from.ReadByte(); answer.StatusCode != want || !errors.Is(err, io.EOF) {
			t.Errorf("with the key %s: %d, then %v", key, answer.StatusCode, err)
		}
	}
}

// deadlines records the deadlines for reading a request.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(deadline time.Time) error {
	d.set = append(d.set, deadline)
	return nil
}

// TestReadHooks has no deadline for calls whose bodies were read: the server would take their clients for gone.
func TestReadHooks(t *testing.T) {
	edgetest.NewWith(t, edgetest.Minimal, "", "")
	for key, want := range map[string]int{"wrong": 1, edgetest.HookKey: 2} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/welcome", strings.NewReader(edgetest.Ada))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hook-Key", key)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		if err := caddymodule.FirstHook().ServeHTTP(w, r, nil); err != nil {
			t.Fatal(err)
		}
		if len(w.set) != want || time.Until(w.set[0]) < 9*time.Second || want == 2 && !w.set[1].IsZero() {
			t.Errorf("with the key %s: %d, deadlines %v", key, w.Code, w.set)
		}
	}
}
