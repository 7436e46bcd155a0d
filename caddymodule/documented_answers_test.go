package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// tableUnder returns the rows of the last table below a heading of a page in docs.
func tableUnder(t *testing.T, name, heading string) (rows [][]string) {
	t.Helper()
	page, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/%s has no %s", name, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ---") {
			rows = nil // what came before is the head
			continue
		}
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// syncStatus is what a sync hook answers to a result.
func syncStatus(r outbox.Result) int {
	switch r.Verdict {
	case outbox.VerdictSent, outbox.VerdictBacklogged:
		return http.StatusNoContent
	}
	return (&call{received: new(ory.Hook)}).failed(nil, r.Verdict, nil).problem.Status
}

// TestDocumentedErrors has Mandrill answer with each error of docs/mandrill.md.
func TestDocumentedErrors(t *testing.T) {
	classes := map[string]outbox.Verdict{
		"hold": outbox.VerdictHold, "retry": outbox.VerdictRetry,
		"final": outbox.VerdictDead, "unknown": outbox.VerdictUnknown,
	}
	rows := tableUnder(t, "mandrill.md", "Errors")
	if len(rows) < 30 {
		t.Errorf("there are %d rows", len(rows))
	}
	for _, row := range rows {
		name, ping, class := row[0], row[2], row[3]
		status, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(name, status, ping), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "users/ping2") && ping == "answers" {
					fmt.Fprint(w, `{"PING":"PONG!"}`)
					return
				}
				w.WriteHeader(status)
				if name != "" {
					fmt.Fprintf(w, `{"status":"error","code":-1,"name":%q,"message":"x"}`, name)
				}
			}))
			defer server.Close()
			client, err := mandrill.New("key", mandrill.WithBaseURL(server.URL+"/api/1.0"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			content := []byte(`{"message":{"from_email":"hello@example.com","to":[{"email":"ada@example.net"}]}}`)
			stored, err := mandrill.ParseStored(content)
			if err != nil {
				t.Fatal(err)
			}
			entry := outbox.Delivery{Entry: outbox.Entry{Sender: "example.com", State: outbox.Sending, Content: content}}
			got := storedMail{stored, &App{metrics: makeMetrics()}, client}.attempt(t.Context(), entry, time.Second)
			if got.Verdict != classes[class] || fmt.Sprint(syncStatus(got)) != row[4] {
				t.Errorf("want %s and %s, got %+v and %d", class, row[4], got, syncStatus(got))
			}
			if got.Verdict == outbox.VerdictHold && got.Scope != "" {
				t.Errorf("it holds %s", got.Scope)
			}
		})
	}
}

// toAda is a message to Ada, with copies to others.
type toAda struct{}

func (toAda) IsPrimary(address string) bool { return strings.HasPrefix(address, "ada") }

// answered is what Mandrill says of Ada.
func answered(status, reason string) mandrill.Recipient {
	r := mandrill.Recipient{Email: "ada@example.net", Status: status, ID: "1"}
	if status == "queued" {
		r.QueuedReason = reason
	} else {
		r.RejectReason = reason
	}
	return r
}

// TestDocumentedRecipients has Mandrill say of a recipient each thing of docs/mandrill.md.
func TestDocumentedRecipients(t *testing.T) {
	type result struct {
		verdict outbox.Verdict
		scope   outbox.Scope
	}
	classes := map[string]result{
		"accepted":                           {outbox.VerdictSent, ""},
		"recipient":                          {outbox.VerdictRejected, ""},
		"final":                              {outbox.VerdictDead, ""},
		"hold of the domain":                 {outbox.VerdictHold, outbox.ScopeDomain},
		"hold of the key":                    {outbox.VerdictHold, outbox.ScopeKey},
		"hold of the sub-account or the key": {outbox.VerdictBacklogged, outbox.ScopeSubaccount},
	}
	states := map[outbox.Verdict]outbox.State{
		outbox.VerdictSent: outbox.Sent, outbox.VerdictRejected: outbox.Rejected, outbox.VerdictDead: outbox.Dead,
		outbox.VerdictHold: outbox.Pending, outbox.VerdictBacklogged: outbox.Backlogged,
	}
	for _, row := range tableUnder(t, "mandrill.md", "Recipients") {
		t.Run(row[0]+" "+row[1], func(t *testing.T) {
			got := new(App).mailOutcome([]mandrill.Recipient{answered(row[0], row[1])}, toAda{})
			if want := classes[row[2]]; got.Verdict != want.verdict || got.Scope != want.scope || got.KeepContent {
				t.Errorf("want %+v, got %+v", want, got)
			}
			if string(states[got.Verdict]) != row[3] || fmt.Sprint(syncStatus(got)) != row[4] {
				t.Errorf("want %s and %s, got %s and %d", row[3], row[4], states[got.Verdict], syncStatus(got))
			}
			if got.Outcome[0].Email != "" || got.Reason == "" && got.Verdict != outbox.VerdictSent {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestSeveralRecipients lets the worst reason decide, unless somebody got the message.
func TestSeveralRecipients(t *testing.T) {
	copied := func(status, reason string) mandrill.Recipient {
		r := answered(status, reason)
		r.Email = "copy@example.net"
		return r
	}
	for name, test := range map[string]struct {
		recipients []mandrill.Recipient
		verdict    outbox.Verdict
		keeps      bool
	}{
		"sent, copy bounced": {
			[]mandrill.Recipient{answered("sent", ""), copied("rejected", "hard-bounce")}, outbox.VerdictSent, false,
		},
		"bounced, copy sent": {
			[]mandrill.Recipient{answered("rejected", "hard-bounce"), copied("sent", "")}, outbox.VerdictRejected, false,
		},
		"sent, copy against a rule": {
			[]mandrill.Recipient{answered("sent", ""), copied("rejected", "rule")}, outbox.VerdictSent, true,
		},
		"rule and unsigned": {
			[]mandrill.Recipient{answered("rejected", "rule"), copied("rejected", "unsigned")}, outbox.VerdictHold, false,
		},
		"bounced and rule": {
			[]mandrill.Recipient{answered("rejected", "spam"), copied("rejected", "rule")}, outbox.VerdictDead, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := new(App).mailOutcome(test.recipients, toAda{})
			if got.Verdict != test.verdict || got.KeepContent != test.keeps {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// accountAt returns an account of an audience whose calls the handler answers.
func accountAt(t *testing.T, mailchimp http.HandlerFunc) *listAccount {
	t.Helper()
	server := httptest.NewServer(mailchimp)
	t.Cleanup(server.Close)
	client, err := audience.New("key-us21", audience.WithBaseURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	account := &listAccount{list: "l1"}
	account.client.Store(client)
	return account
}

// TestDocumentedChanges has Mailchimp answer a change with each row of docs/audience.md.
func TestDocumentedChanges(t *testing.T) {
	type result struct {
		verdict outbox.Verdict
		state   outbox.State
	}
	classes := map[string]result{
		"person": {outbox.VerdictRejected, outbox.Rejected}, "final": {outbox.VerdictDead, outbox.Dead},
		"hold": {outbox.VerdictHold, outbox.Pending}, "retry": {outbox.VerdictRetry, outbox.Retrying},
	}
	rows := tableUnder(t, "audience.md", "What becomes of a change")
	if len(rows) < 20 {
		t.Errorf("there are %d rows", len(rows))
	}
	made, err := audience.NewChange(map[string]any{"email_address": "ada@example.net", "status_if_new": "subscribed"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		title, text, class := row[0], row[2], row[3]
		t.Run(fmt.Sprint(title, row[1], text), func(t *testing.T) {
			status, err := strconv.Atoi(row[1])
			if err != nil {
				t.Fatal(err)
			}
			account := accountAt(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				if title != "" {
					fmt.Fprintf(w, `{"title":%q,"status":%d,"detail":%q}`, title, status, "ada@example.net "+text)
				}
			})
			c := change{Change: made, app: &App{metrics: makeMetrics()}, account: account, timeout: time.Second}
			_, err = c.send(t.Context())
			got, want := c.failure(t.Context(), err), classes[class]
			if got.Verdict != want.verdict || string(want.state) != row[4] || fmt.Sprint(syncStatus(got)) != row[5] {
				t.Errorf("want %v, got %+v and %d", row, got, syncStatus(got))
			}
			if strings.Contains(got.Reason, "ada@") {
				t.Errorf("the reason has the address: %s", got.Reason)
			}
		})
	}
}

// TestAudienceProbe asks for the audience before a change is made to see whether a hold is over.
func TestAudienceProbe(t *testing.T) {
	status := http.StatusUnauthorized
	var calls []string
	account := accountAt(t, func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.Path)
		w.WriteHeader(status)
		fmt.Fprint(w, `{"id":"l1","title":"API Key Invalid"}`)
	})
	app := &App{lists: map[string]*listAccount{"list:l1": account}}
	probe := func() error {
		return deliverer{app}.Probe(t.Context(), outbox.Hold{Scope: outbox.ScopeKey}, outbox.Entry{Sender: "list:l1"})
	}
	if err := probe(); err == nil || !strings.Contains(err.Error(), "check api_key") {
		t.Errorf("refused: %v", err)
	}
	status = http.StatusOK
	if err := probe(); err != nil || fmt.Sprint(calls) != "[GET /lists/l1 GET /lists/l1]" {
		t.Errorf("accepted: %v, %v", err, calls)
	}
}
