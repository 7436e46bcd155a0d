package caddymodule_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// callRecorder notes the calls that reach the sandbox.
type callRecorder struct {
	next  http.Handler
	mu    sync.Mutex
	calls []string
}

func (r *callRecorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	q.Body = io.NopCloser(strings.NewReader(string(body)))
	r.mu.Lock()
	r.calls = append(r.calls, q.URL.Path)
	r.mu.Unlock()
	r.next.ServeHTTP(w, q)
}

func (r *callRecorder) count(endpoint string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, call := range r.calls {
		if strings.Contains(call, endpoint) {
			n++
		}
	}
	return n
}

// TestLookUp has Mandrill keep mails back. They are looked up by one search where the account has an index, else by
// their ids, and a look-up that Mandrill refuses ends nothing.
func TestLookUp(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		e := edgetest.Prepare(t, edgetest.Minimal)
		if indexed {
			e.MakeIndexes()
		}
		if err := e.Sandbox.Set(sandbox.Settings{OnlyIndexed: true}); err != nil {
			t.Fatal(err)
		}
		calls := &callRecorder{next: e.Sandbox}
		e.Mandrill = calls
		e.Run(e.Caddyfile(""))
		if err := e.Sandbox.Fail(sandbox.Failure{QueuedReason: "sending-paused", Endpoint: "messages/send"}); err != nil {
			t.Fatal(err)
		}
		id := e.Post(edgetest.Ada).Entry()
		e.WaitState(id, outbox.Backlogged)
		if !indexed {
			refused := sandbox.Failure{Status: 422, Name: "ValidationError", Endpoint: "messages/info"}
			if err := e.Sandbox.Fail(refused); err != nil {
				t.Fatal(err)
			}
			edgetest.WaitUntil(t, "no look-up", func() bool { return calls.count("messages/info") > 1 })
			if entry := e.WaitState(id, outbox.Backlogged); len(entry.Attempts) != 1 {
				t.Errorf("after a look-up that Mandrill refused: %+v", entry)
			}
		}
		e.Sandbox.Recover()
		e.WaitState(id, outbox.Sent)
		if byID := calls.count("messages/info"); (byID == 0) != indexed || len(e.Sandbox.Mails()) != 1 {
			t.Errorf("indexed %v: asked %d times by id, %d mails", indexed, byID, len(e.Sandbox.Mails()))
		}
	}
}
