package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a sandbox, a client of it, and the API without one.
type world struct {
	*testing.T
	*sandbox.Sandbox
	client *audience.Client
	base   string
}

func start(t *testing.T) *world {
	t.Helper()
	s := sandbox.New()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := audience.New("key", audience.WithBaseURL(server.URL+"/3.0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return &world{t, s, c, server.URL + "/3.0/"}
}

// apply applies a change, and returns what became of its addresses or the kind of the error.
func (w *world) apply(list, change string) string {
	w.Helper()
	c, err := audience.ParseChange([]byte(change))
	if err != nil {
		w.Fatal(err)
	}
	members, err := w.client.Apply(w.Context(), list, c, time.Minute)
	var failure *audience.Error
	if errors.As(err, &failure) {
		return string(failure.Kind)
	}
	var statuses []string
	for _, member := range members {
		statuses = append(statuses, member.Status)
	}
	return strings.Join(statuses, " ")
}

// do makes a call as others do, people who unsubscribe among them.
func (w *world) do(method, path, body string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.SetBasicAuth("x", "key")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (w *world) is(address string) string {
	for _, member := range w.Members() {
		if member.Email == address {
			return member.Status
		}
	}
	return audience.Absent
}

// The MD5 sum of ada@example.net.
const ada = "lists/l1/members/ae2c0afa556b74f2d501305b54c34910"

// TestConsent follows people whose status is what a step before made of it.
func TestConsent(t *testing.T) {
	const (
		consent = `{"email_address":"ada@example.net","status_if_new":"subscribed","merge_fields":{"FNAME":"Ada"},` +
			`"tags":["new"]}`
		asked     = `{"email_address":"ada@example.net","status_if_new":"pending"}`
		update    = `{"email_address":"ada@example.net","merge_fields":{"FNAME":"Augusta"},"tags":["changed"]}`
		withdrawn = `{"archive":"ada@example.net"}`
		moved     = `{"email_address":"ada@example.org","status_if_new":"subscribed","archive":"ada@example.net"}`
		followed  = `{"email_address":"ada@example.org","archive":"ada@example.net"}`
		recased   = `{"email_address":"ADA@example.net","status_if_new":"subscribed","archive":"ada@example.net"}`
		// merge fields are strings or numbers
		movedWrongly = `{"email_address":"ada@example.org","status_if_new":"subscribed","merge_fields":{"FNAME":["x"]},` +
			`"archive":"ada@example.net"}`
		toFake = `{"email_address":"fake@example.org","status_if_new":"subscribed","archive":"ada@example.net"}`
	)
	unsubscribe := func(w *world) { w.do("PATCH", ada, `{"status":"unsubscribed"}`) }
	clean := func(w *world) { w.do("PATCH", ada, `{"status":"cleaned"}`) }
	for _, test := range []struct {
		name    string
		changes []string
		between func(*world)
		want    string
		left    string
		arrived string
	}{
		{"subscribe", []string{consent}, nil, "subscribed", "subscribed", "absent"},
		{"twice", []string{consent, consent}, nil, "subscribed", "subscribed", "absent"},
		{"asked", []string{asked}, nil, "pending", "pending", "absent"},
		{"no consent", []string{update}, nil, "absent", "absent", "absent"},
		{"updated", []string{consent, update}, nil, "subscribed", "subscribed", "absent"},
		{"unsubscribed stays", []string{consent, consent}, unsubscribe, "unsubscribed", "unsubscribed", "absent"},
		{"unsubscribed is updated", []string{consent, update}, unsubscribe, "unsubscribed", "unsubscribed", "absent"},
		{"withdrawn", []string{consent, withdrawn}, nil, "archived", "archived", "absent"},
		{"withdrawn twice", []string{consent, withdrawn, withdrawn}, nil, "archived", "archived", "absent"},
		{"withdrawn of nobody", []string{withdrawn}, nil, "absent", "absent", "absent"},
		{"unsubscribed and withdrawn", []string{consent, withdrawn}, unsubscribe, "unsubscribed", "unsubscribed", "absent"},
		{"withdrawn and given again", []string{consent, withdrawn, consent}, nil, "pending", "pending", "absent"},
		{"moved", []string{consent, moved}, nil, "subscribed archived", "archived", "subscribed"},
		{"moved twice", []string{consent, moved, moved}, nil, "subscribed archived", "archived", "subscribed"},
		{"moved from nowhere", []string{moved}, nil, "subscribed absent", "absent", "subscribed"},
		{
			"moved though unsubscribed",
			[]string{consent, moved},
			unsubscribe, "unsubscribed unsubscribed", "unsubscribed",
			"unsubscribed",
		},
		{"moved though bounced", []string{consent, moved}, clean, "subscribed cleaned", "cleaned", "subscribed"},
		{"moved though not confirmed", []string{asked, moved}, nil, "pending archived", "archived", "pending"},
		{"moved after it was withdrawn", []string{consent, withdrawn, moved}, nil, "pending archived", "archived", "pending"},
		{"moved with a field that isn't taken", []string{consent, movedWrongly}, nil, "refused", "archived", "absent"},
		{"moved without consent", []string{consent, followed}, nil, "absent archived", "archived", "absent"},
		{"another case", []string{consent, recased}, nil, "subscribed", "subscribed", "absent"},
		{"moved to nowhere", []string{consent, toFake}, nil, "rejected", "archived", "absent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t)
			got := ""
			for i, change := range test.changes {
				if i == 1 && test.between != nil {
					test.between(w)
				}
				got = w.apply("l1", change)
			}
			if got != test.want || w.is("ada@example.net") != test.left || w.is("ada@example.org") != test.arrived {
				t.Errorf("got %q; left %s, arrived %s", got, w.is("ada@example.net"), w.is("ada@example.org"))
			}
		})
	}
}

func TestMembers(t *testing.T) {
	w := start(t)
	w.apply("l1",
		`{"email_address":"ada@example.net","status_if_new":"subscribed","merge_fields":{"FNAME":"Ada","AGE":36},`+
			`"interests":{"a1":true},"language":"de","tags":["new","club"]}`)
	w.apply("l1",
		`{"email_address":"ada@example.net","merge_fields":{"FNAME":"Augusta"},"tags":[{"name":"new","status":"inactive"}]}`)
	w.apply("l2", `{"email_address":"ada@example.net","status_if_new":"transactional"}`)
	members := w.Members()
	if len(members) != 2 || members[0].List != "l2" {
		t.Fatalf("got %+v", members)
	}
	m := members[1]
	if m.MergeFields["FNAME"] != "Augusta" || m.MergeFields["AGE"] != 36.0 || m.Interests["a1"] != true ||
		m.Language != "de" || !slices.Equal(m.Tags, []sandbox.Tag{{Name: "club"}}) {
		t.Errorf("got %+v", m)
	}
}

// TestList has the client look at an audience as the operator may.
func TestList(t *testing.T) {
	w := start(t)
	w.apply("l1", `{"email_address":"ada@example.net","status_if_new":"subscribed"}`)
	w.apply("l1", `{"email_address":"bo@example.net","status_if_new":"pending"}`)
	w.apply("l2", `{"email_address":"ada@example.net","status_if_new":"subscribed"}`)
	if list, err := w.client.List(t.Context(), "l1"); err != nil || list.Name != "Sandbox" || list.Stats.Subscribed != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
	var failure *audience.Error
	if _, err := w.client.List(t.Context(), "unknown"); !errors.As(err, &failure) ||
		!strings.Contains(failure.Remedy(), "check list") {
		t.Errorf("an unknown one: %v", err)
	}
	if err := w.Fail(sandbox.Failure{Body: "{}"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.List(t.Context(), "l1"); !errors.As(err, &failure) || failure.Kind != audience.Unknown {
		t.Errorf("an answer without an audience: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	w := start(t)
	for _, test := range []struct {
		list, change string
		want         audience.Kind
	}{
		{"unknown", `{"email_address":"a@b.c"}`, audience.Account},
		{"unknown", `{"email_address":"a@b.c","status_if_new":"subscribed"}`, audience.Account},
		{"unknown", `{"archive":"a@b.c"}`, audience.Account},
		{"l1", `{"email_address":"fake@b.c","status_if_new":"subscribed"}`, audience.Rejected},
		{"l1", `{"email_address":"forgotten@b.c","status_if_new":"subscribed"}`, audience.Rejected},
		{"l1", `{"email_address":"compliance@b.c","status_if_new":"subscribed"}`, audience.Rejected},
		{"l1", `{"email_address":"a@b.c","status_if_new":"subscribed","merge_fields":{"FNAME":["x"]}}`, audience.Refused},
	} {
		if got := w.apply(test.list, test.change); got != string(test.want) {
			t.Errorf("%s: %s: %s", test.list, test.change, got)
		}
	}
	if len(w.Members()) != 0 {
		t.Errorf("kept %+v", w.Members())
	}
	// What Ory's recipe does fails for a known address.
	for i, want := range []int{200, 400} {
		if got := w.do("POST", "lists/l1/members", `{"email_address":"ada@example.net","status":"subscribed"}`); got != want {
			t.Errorf("call %d: %d", i, got)
		}
	}
	for call, want := range map[string]int{
		"GET ": 200, "GET ping": 200, "GET lists/l1/members": 200, "GET " + ada: 200, "GET " + ada + "/tags": 200,
		"GET sandbox/members":       200,
		"GET lists/l1/members/none": 404, "GET lists": 404, "DELETE lists/l1/members/none": 404, "POST sandbox/fail": 400,
	} {
		method, path, _ := strings.Cut(call, " ")
		if got := w.do(method, path, ""); got != want {
			t.Errorf("%s: %d", call, got)
		}
	}
	if w.do("DELETE", "sandbox/members", ""); len(w.Members()) != 0 {
		t.Errorf("kept %+v", w.Members())
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		failure string
		want    audience.Kind
		kept    int
	}{
		{`{"status":500}`, audience.Retry, 0},
		{`{"status":429,"title":"Too Many Requests"}`, audience.Account, 0},
		{`{"status":403,"body":"<h1>Forbidden</h1>"}`, audience.Account, 0},
		{`{"status":400,"title":"Invalid Resource","detail":"x"}`, audience.Refused, 0},
		{`{"reset":"before"}`, audience.Unknown, 0},
		{`{"reset":"after"}`, audience.Unknown, 1},
		{`{"body":"<html>"}`, audience.Unknown, 0},
		{`{"delay":"1ms"}`, "subscribed", 1},
	} {
		w := start(t)
		if got := w.do("POST", "sandbox/fail", test.failure); got != 204 {
			t.Fatalf("%s: %d", test.failure, got)
		}
		const change = `{"email_address":"ada@example.net","status_if_new":"subscribed"}`
		if got := w.apply("l1", change); got != string(test.want) || len(w.Members()) != test.kept {
			t.Errorf("%s: %s, %d members", test.failure, got, len(w.Members()))
		}
		if got := w.apply("l1", change); got != "subscribed" {
			t.Errorf("%s: then %s", test.failure, got)
		}
	}
	s := sandbox.New()
	for field, failure := range map[string]sandbox.Failure{
		"status": {Status: 99}, "title": {Title: "x"}, "detail": {Detail: "x"},
	} {
		if err := s.Fail(failure); err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestLetsThrough aims a failure at a later call.
func TestLetsThrough(t *testing.T) {
	w := start(t)
	for _, failure := range []string{`{"calls":2}`, `{"status":500}`} {
		if got := w.do("POST", "sandbox/fail", failure); got != 204 {
			t.Fatalf("%s: %d", failure, got)
		}
	}
	for i, want := range []int{200, 200, 500, 200} {
		if got := w.do("GET", "lists/l1", ""); got != want {
			t.Errorf("call %d: %d", i, got)
		}
	}
}

func FuzzAPI(f *testing.F) {
	f.Add("PUT", "lists/l/members/0ee9ab83ec2bc6ccc6e2fb0e0e1e2a2d",
		[]byte(`{"email_address":"a@b.c","status_if_new":"subscribed","merge_fields":{"A":null}}`))
	f.Add("POST", "lists/l/members", []byte(`{"email_address":"a@b.c","status":"subscribed"}`))
	f.Add("PATCH", "lists/l/members/x", []byte(`{"interests":{"a":true},"tags":[{}]}`))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		s := sandbox.New()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Method, r.URL.Path = method, "/3.0/"+path
		r.SetBasicAuth("x", "key")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == 0 || w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Error(fmt.Sprint(w.Code))
		}
		w = httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/3.0/", nil))
		if w.Code != http.StatusOK {
			t.Error("the page fails")
		}
	})
}
