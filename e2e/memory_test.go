package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

const megabyte = 1 << 20

// memory returns what the process has in memory, in megabytes: now, and at most since the last resetPeak.
func (e *edge) memory() (now, peak float64) {
	e.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.process.Process.Pid))
	if err != nil {
		e.t.Skipf("memory can't be measured here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			now = kilobytes / 1024
		case "VmHWM":
			peak = kilobytes / 1024
		}
	}
	return now, peak
}

func (e *edge) resetPeak() {
	e.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", e.process.Process.Pid), []byte("5"), 0); err != nil {
		e.t.Skipf("memory can't be measured here: %v", err)
	}
}

// many makes calls at once, and returns how often each status was answered: 0 is no answer.
func many(calls int, call func(n int) int) map[int]int {
	statuses := make(map[int]int)
	var mu sync.Mutex
	var calling sync.WaitGroup
	for n := range calls {
		calling.Go(func() {
			status := call(n)
			mu.Lock()
			statuses[status]++
			mu.Unlock()
		})
	}
	calling.Wait()
	return statuses
}

// endless is a body of a length without an end to it.
type endless struct{ pattern []byte }

func (b endless) Read(to []byte) (int, error) {
	n := 0
	for n < len(to) {
		n += copy(to[n:], b.pattern)
	}
	return n, nil
}

const (
	eventsURL  = "https://hooks.example.com/events"
	eventsSite = "mailchimp_events /events {\nurl " + eventsURL + "\nkey s3cret-key\n}\n"
)

// TestStrangersCostNothing has 200 calls of mailchimp_events at once that nobody signed.
func TestStrangersCostNothing(t *testing.T) {
	e := newEdgeWith(t, newMandrill(t), "outbox sqlite FOLDER/outbox.db", eventsSite+hookSite,
		map[string]string{"t.jsonnet": template})
	forged := api.Signature("guessed", eventsURL, nil)
	trial := api.Signature(api.TestWebhookKey, eventsURL, nil)
	post := func(signature string, length int64) func(int) int {
		return func(int) int {
			body := io.LimitReader(endless{bytes.Repeat([]byte("{},"), 1000)}, length)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.address+"/events", body)
			if err != nil {
				t.Error(err)
				return 0
			}
			if length > 0 {
				r.ContentLength = length
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Mandrill-Signature", signature)
			answer, err := client.Do(r)
			if err != nil {
				return 0 // the connection was closed while the body was on its way
			}
			answer.Body.Close()
			return answer.StatusCode
		}
	}
	// stall announces a body, sends a part of it, and waits to be answered.
	stall := func(signature string, announced, sent int) func(int) int {
		return func(int) int {
			connection, err := net.Dial("tcp", e.address)
			if err != nil {
				return 0
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = fmt.Fprintf(connection, "POST /events HTTP/1.1\r\nHost: hooks.example.com\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\nX-Mandrill-Signature: %s\r\nContent-Length: %d\r\n\r\n%s",
				signature, announced, strings.Repeat("x", sent))
			answer, _ := io.ReadAll(connection)
			status := 0
			_, _ = fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status)
			return status
		}
	}
	e.post("warm@example.net")
	for _, test := range []struct {
		name string
		call func(int) int
	}{
		{"16 MB, unsigned", post("", 16*megabyte)},
		{"16 MB, forged", post(forged, 16*megabyte)},
		{"7 MB, forged", post(forged, 7*megabyte)},
		{"7 MB, signed by the key of the trial", post(trial, 7*megabyte)},
		{"stalled, unsigned", stall("", 16*megabyte, 1)},
		{"stalled, forged", stall(forged, 7*megabyte, 1)},
		{"stalled half-way, forged", stall(forged, megabyte, 500_000)},
	} {
		e.resetPeak()
		before, _ := e.memory()
		began := time.Now()
		statuses := many(200, test.call)
		_, peak := e.memory()
		t.Logf("%s: %.1f MB more than %.1f MB, %v, %.1f s", test.name, peak-before, before, statuses,
			time.Since(began).Seconds())
		if peak-before > 20 || time.Since(began) > 20*time.Second || statuses[200] > 0 {
			t.Errorf("%s costs too much", test.name)
		}
	}
	if status := e.post("after@example.net"); status != http.StatusNoContent {
		t.Errorf("a hook after it is answered %d", status)
	}
}

// TestHooksShareMemory has 200 hooks at once whose bodies take many times their size when they are decoded.
func TestHooksShareMemory(t *testing.T) {
	m := newMandrill(t)
	site := "mailchimp_hook * t.jsonnet {\nauth header X-Hook-Key {env.HOOK_KEY}\n}\n"
	e := newEdgeWith(t, m, "outbox sqlite FOLDER/outbox.db", site, map[string]string{"t.jsonnet": template})
	post := func(body string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.address+"/", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hook-Key", "s3cret-header")
		answer, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, shape := range []string{`{}`, `{"":{"":{}}}`, `{"":0}`, `[]`} {
		for _, rendered := range []bool{true, false} {
			name := shape + map[bool]string{true: ", rendered", false: ", not rendered"}[rendered]
			e.resetPeak()
			before, _ := e.memory()
			began := time.Now()
			statuses := many(200, func(n int) int {
				email := fmt.Sprintf(`"email":"memory%d@example.net",`, n)
				if !rendered {
					email = fmt.Sprintf(`"n":%d,`, n)
				}
				begin, end := "{"+email+`"a":[`, `0]}`
				return post(begin + strings.Repeat(shape+",", (1_000_000-len(begin+end))/(len(shape)+1)) + end)
			})
			_, peak := e.memory()
			t.Logf("%s: %.0f MB, %.0f MB before, %v, %.1f s", name, peak, before, statuses, time.Since(began).Seconds())
			if peak > 300 || statuses[204] == 0 || statuses[204]+statuses[503] != 200 {
				t.Errorf("%s: at most %.0f MB, answers %v", name, peak, statuses)
			}
		}
	}
	if status := post(`{"email":"after@example.net"}`); status != http.StatusNoContent {
		t.Errorf("a hook after them is answered %d", status)
	}
}

// TestLargeMailsShareMemory releases 40 mails of 4 MB at once, and keeps a small one from waiting for them.
func TestLargeMailsShareMemory(t *testing.T) {
	m := newMandrill(t)
	large := strings.Replace(template, "text: 'Hi' }", "text: 'Hi', attachments: [{ name: 'a', type: 'text/plain', "+
		"content: std.repeat('QUFB', 1000000) }] }", 1)
	e := newEdgeWith(t, m, "outbox sqlite FOLDER/outbox.db", hookSite, map[string]string{"t.jsonnet": large})
	if err := m.Fail(sandbox.Failure{Calls: 1, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	const mails = 40
	var addresses []string
	for n := range mails {
		address := fmt.Sprintf("large%d@example.net", n)
		if status := e.post(address); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
		addresses = append(addresses, address)
	}
	e.resetPeak()
	before, _ := e.memory()
	began := time.Now()
	m.expect(t, addresses, time.Minute)
	_, peak := e.memory()
	t.Logf("%.0f MB, %.0f MB before, %.1f s", peak, before, time.Since(began).Seconds())
	if peak > 300 {
		t.Errorf("%d mails of 4 MB take %.0f MB", mails, peak)
	}
}
