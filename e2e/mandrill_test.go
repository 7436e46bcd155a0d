package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// mandrill is a sandbox that counts each recipient's mails: the sandbox itself forgets old ones.
type mandrill struct {
	*sandbox.Sandbox
	url string

	mu       sync.Mutex
	received map[string]int
	changed  chan struct{}
	// first is closed at the first call.
	sending sync.Once
	first   chan struct{}
}

func newMandrill(t *testing.T) *mandrill {
	t.Helper()
	m := &mandrill{Sandbox: sandbox.New(), received: make(map[string]int), changed: make(chan struct{}), first: make(chan struct{})}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.url = server.URL + "/api/1.0"
	return m
}

// ServeHTTP counts a mail when the sandbox has taken it, and before its sender hears of it.
func (m *mandrill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m.sending.Do(func() { close(m.first) })
	answer := httptest.NewRecorder()
	m.Sandbox.ServeHTTP(answer, r)
	var request struct {
		Message struct {
			To []struct{ Email string }
		}
	}
	if answer.Code == http.StatusOK && strings.HasSuffix(r.URL.Path, "/messages/send") && json.Unmarshal(body, &request) == nil {
		m.mu.Lock()
		m.received[request.Message.To[0].Email]++
		close(m.changed)
		m.changed = make(chan struct{})
		m.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the sender was killed
}

// expect waits until each of the accepted has arrived, and returns how many arrived more than once.
func (m *mandrill) expect(t *testing.T, accepted []string, patience time.Duration) (again int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		var missing []string
		again = 0
		for _, address := range accepted {
			if n := m.received[address]; n == 0 {
				missing = append(missing, address)
			} else {
				again += n - 1
			}
		}
		changed := m.changed
		m.mu.Unlock()
		if len(missing) == 0 {
			return again
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d of %d accepted hooks never arrived, the first is %s", len(missing), len(accepted), missing[0])
		}
	}
}

// called waits until a sender has called.
func (m *mandrill) called(t *testing.T) {
	t.Helper()
	select {
	case <-m.first:
	case <-time.After(time.Minute):
		t.Fatal("nobody called")
	}
}

// wait waits until the condition holds, which is looked at again whenever a mail has arrived.
func (m *mandrill) wait(t *testing.T, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: it never came to that", what)
		}
	}
}

// subjects returns those of a person's mails, sorted.
func (m *mandrill) subjects(address string) []string {
	var found []string
	for _, mail := range m.Mails() {
		if mail.Message.To[0].Email == address {
			found = append(found, mail.Message.Subject)
		}
	}
	slices.Sort(found)
	return found
}

// text returns the newest mail to an address whose subject begins so, or "".
func (m *mandrill) text(address, subject string) string {
	for _, mail := range m.Mails() {
		if mail.Message.To[0].Email == address && strings.HasPrefix(mail.Message.Subject, subject) {
			return mail.Message.Text
		}
	}
	return ""
}
