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

// mandrill is a sandbox that forgets nothing: it counts each recipient's mails and finds all of them, while
// the sandbox itself keeps the last ones only.
type mandrill struct {
	*sandbox.Sandbox
	url string

	mu       sync.Mutex
	received map[string]int
	// byField has what was received for each query of a metadata field, such as u_outbox_entry:1.
	byField map[string][]map[string]any
	sends   []*send
	changed chan struct{}
	// findsNothing has searches find nothing, as if the fields were not indexed.
	findsNothing bool
	// cutOff is how many of the next answers break off after the mail was taken.
	cutOff int
	// first is closed at the first call.
	sending sync.Once
	first   chan struct{}
}

// send is one call of messages/send.
type send struct {
	// process is the one that called, as edge.start names it.
	process, entry, recipient string
	// answered is when the answer was written, or zero.
	answered time.Time
	// taken says that the mail was accepted.
	taken bool
}

func newMandrill(t *testing.T) *mandrill {
	t.Helper()
	m := &mandrill{
		Sandbox: sandbox.New(), received: make(map[string]int), byField: make(map[string][]map[string]any),
		changed: make(chan struct{}), first: make(chan struct{}),
	}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.url = server.URL + "/api/1.0"
	return m
}

// ServeHTTP notes a mail when the sandbox has taken it, and before its sender hears of it.
func (m *mandrill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m.sending.Do(func() { close(m.first) })
	process, endpoint, _ := strings.Cut(r.URL.Path, "/api/1.0/")
	switch endpoint {
	case "messages/send":
		m.send(w, r, body, process)
	case "messages/search":
		m.search(w, r, body)
	default:
		m.Sandbox.ServeHTTP(w, r)
	}
}

func (m *mandrill) send(w http.ResponseWriter, r *http.Request, body []byte, process string) {
	var request struct {
		Message struct {
			To       []struct{ Email string }
			Metadata map[string]any
		}
	}
	if json.Unmarshal(body, &request) != nil || len(request.Message.To) == 0 {
		m.Sandbox.ServeHTTP(w, r)
		return
	}
	metadata := request.Message.Metadata
	entry, _ := metadata["outbox_entry"].(string)
	call := &send{process: strings.TrimPrefix(process, "/"), entry: entry, recipient: request.Message.To[0].Email}
	m.mu.Lock()
	m.sends = append(m.sends, call)
	m.mu.Unlock()
	answer := httptest.NewRecorder()
	m.Sandbox.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK && m.take(call, metadata, answer.Body.Bytes()) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the sender was killed
	m.mu.Lock()
	call.answered = time.Now()
	m.mu.Unlock()
}

// take notes a mail that was taken, and reports whether the answer is to break off.
func (m *mandrill) take(call *send, metadata map[string]any, answer []byte) (cutOff bool) {
	var recipients []struct {
		ID     string `json:"_id"`
		Email  string `json:"email"`
		Status string `json:"status"`
	}
	if json.Unmarshal(answer, &recipients) != nil {
		return false // the sandbox was told to answer nonsense
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	call.taken = true
	m.received[call.recipient]++
	for _, recipient := range recipients {
		found := map[string]any{
			"ts": time.Now().Unix(), "_id": recipient.ID, "email": recipient.Email, "state": recipient.Status,
			"metadata": metadata, "reject": nil,
		}
		for _, field := range []string{"outbox_entry", "outbox"} {
			if value, has := metadata[field].(string); has {
				query := "u_" + field + ":" + value
				m.byField[query] = append(m.byField[query], found)
			}
		}
	}
	close(m.changed)
	m.changed = make(chan struct{})
	if m.cutOff > 0 {
		m.cutOff--
		return true
	}
	return false
}

// search answers as the sandbox does, but from all that was ever received. The query is u_field:value, or
// several of them with OR between.
func (m *mandrill) search(w http.ResponseWriter, r *http.Request, body []byte) {
	var request struct {
		Query string `json:"query"`
		Limit int    `json:"limit"`
	}
	answer := httptest.NewRecorder()
	m.Sandbox.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK || json.Unmarshal(body, &request) != nil {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return
	}
	found := []map[string]any{}
	m.mu.Lock()
	for term := range strings.SplitSeq(request.Query, " OR ") {
		if term = strings.ReplaceAll(strings.Trim(term, "() "), `"`, ""); !m.findsNothing {
			found = append(found, m.byField[term]...)
		}
	}
	m.mu.Unlock()
	if limit := max(request.Limit, 1); len(found) > limit {
		found = found[len(found)-limit:] // the newest
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found) // the sender was killed
}

// findNothing has searches find nothing from now on.
func (m *mandrill) findNothing() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.findsNothing = true
}

// cutOffNext has the next answers break off after the mail was taken.
func (m *mandrill) cutOffNext(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutOff = n
}

// missing returns those of the accepted that have not arrived.
func (m *mandrill) missing(accepted []string) (missing []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, address := range accepted {
		if m.received[address] == 0 {
			missing = append(missing, address)
		}
	}
	return missing
}

// again returns how many mails were second mails to a recipient, or further ones. Hooks that were not
// answered count too.
func (m *mandrill) again() (again int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.received {
		again += n - 1
	}
	return again
}

// storing is how long an outcome may take from Mandrill's answer to its commit, on a disk that others use too.
const storing = time.Second

// inFlight is what processes were sending when they were killed.
type inFlight struct {
	// unanswered is how many mails Mandrill had taken and not answered.
	unanswered int
	// unstored are the recipients of mails that Mandrill had taken and whose outcome was not stored, answered or not: the
	// next process found them interrupted.
	unstored map[string]bool
	// stale is how many of them Mandrill had answered so long before the kill that the outcome must have been stored.
	stale int
}

// inFlight finds what was in flight at the deaths of the edges.
func (m *mandrill) inFlight(edges ...*edge) inFlight {
	deaths, interrupted := make(map[string]time.Time), make(map[string]string)
	for _, e := range edges {
		e.life.Lock()
		maps.Copy(deaths, e.deaths)
		maps.Copy(interrupted, e.interrupted)
		e.life.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := inFlight{unstored: make(map[string]bool)}
	for _, call := range m.sends {
		death, died := deaths[call.process]
		if !died || !call.taken {
			continue
		}
		unanswered := call.answered.IsZero() || call.answered.After(death)
		if unanswered {
			found.unanswered++
		}
		if interrupted[call.entry] == call.process {
			found.unstored[call.recipient] = true
			if !unanswered && call.answered.Before(death.Add(-storing)) {
				found.stale++
			}
		}
	}
	return found
}

// unexplained returns how many of those that got a mail again got it although none was in flight at a kill, or more
// than twice.
func (m *mandrill) unexplained(f inFlight) (unexplained int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for recipient, n := range m.received {
		if n > 2 || n == 2 && !f.unstored[recipient] {
			unexplained++
		}
	}
	return unexplained
}

// expect waits until each of the accepted has arrived, and returns how many mails arrived again.
func (m *mandrill) expect(t *testing.T, accepted []string, patience time.Duration) (again int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		missing := m.missing(accepted)
		if len(missing) == 0 {
			return m.again()
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
