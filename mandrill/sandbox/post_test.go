package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// receiver is a webhook without a network.
type receiver struct {
	t *testing.T
	// refuses is how many calls are answered 500.
	refuses int
	// breaks is how many calls break off after that.
	breaks  int
	batches [][]string
	times   []time.Time
}

const (
	hookURL = "http://hooks.example.com/mandrill"
	hookKey = "s3cret"
)

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	r.times = append(r.times, time.Now())
	body, err := io.ReadAll(request.Body)
	if err != nil {
		r.t.Error(err)
	}
	form, err := mandrill.ParseForm(bytes.Clone(body))
	if err != nil || request.Method != http.MethodPost || request.URL.String() != hookURL ||
		request.Header.Get("Content-Type") != "application/x-www-form-urlencoded" ||
		form.SignedBy([]string{hookKey}, request.Header.Get("X-Mandrill-Signature"), hookURL) != 0 {
		r.t.Errorf("%s %s %v: %s, %v", request.Method, request.URL, request.Header, body, err)
	}
	answer := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}
	switch {
	case r.refuses > 0:
		r.refuses--
		answer.StatusCode, answer.Status = http.StatusInternalServerError, "500 Internal Server Error"
		return answer, nil
	case r.breaks > 0:
		r.breaks--
		return nil, errors.New("connection refused")
	}
	events, err := mandrill.ParseEvents(form.Get("mandrill_events"))
	if err != nil {
		r.t.Error(err)
	}
	var batch []string
	for _, e := range events {
		batch = append(batch, strings.TrimSpace(fmt.Sprint(e.Email, " ", e.Event, " ", e.Detail)))
	}
	r.batches = append(r.batches, batch)
	return answer, nil
}

func (r *receiver) start(s *Sandbox) *poster {
	p := s.newPoster(hookURL, hookKey, r)
	p.start()
	return p
}

func sendTo(s *Sandbox, more string, addresses ...string) {
	to, err := json.Marshal(func() (list []map[string]string) {
		for _, address := range addresses {
			list = append(list, map[string]string{"email": address})
		}
		return list
	}())
	if err != nil {
		panic(err)
	}
	apiCall(s, "messages/send", `{"key":"k","message":{"from_email":"a@example.com","metadata":{"outbox_entry":"1"},"to":`+
		string(to)+more+`}}`)
}

// settle returns when the time has passed and nothing is left to be done.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func apiCall(s *Sandbox, endpoint, body string) {
	r := httptest.NewRequest(http.MethodPost, "/api/1.0/"+endpoint, strings.NewReader(body))
	s.ServeHTTP(httptest.NewRecorder(), r)
}

func TestEventsOfAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := New(), &receiver{t: t}
		p := r.start(s)
		for _, address := range []string{
			"ada@example.net", "hard_bounce@test.mandrillapp.com", "Soft_Bounce@test.mandrillapp.com",
			"spam@test.mandrillapp.com", "reject@test.mandrillapp.com", "not an address",
		} {
			sendTo(s, "", address)
		}
		settle(time.Second)
		p.stop()
		p.stop()
		want := []string{
			"ada@example.net send", "ada@example.net delivered",
			"hard_bounce@test.mandrillapp.com send", "hard_bounce@test.mandrillapp.com hard_bounce bad_mailbox",
			"Soft_Bounce@test.mandrillapp.com send", "Soft_Bounce@test.mandrillapp.com soft_bounce mailbox_full",
			"spam@test.mandrillapp.com send", "spam@test.mandrillapp.com delivered", "spam@test.mandrillapp.com spam",
			"reject@test.mandrillapp.com reject custom",
		}
		if len(r.batches) != 1 || fmt.Sprint(r.batches[0]) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", r.batches, want)
		}
		sendTo(s, "", "ada@example.net") // nobody listens any more
		if len(s.posters)+len(s.webhooks) != 0 {
			t.Error("the webhook is still there")
		}
	})
}

// TestEventsOfQueuedMails come when the mails are sent.
func TestEventsOfQueuedMails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := New(), &receiver{t: t}
		p := r.start(s)
		defer p.stop()
		if err := s.Fail(Failure{QueuedReason: "account-suspended"}); err != nil {
			t.Fatal(err)
		}
		sendTo(s, "", "ada@example.net")
		apiCall(s, "subaccounts/add", `{"key":"k","id":"shop"}`)
		apiCall(s, "subaccounts/pause", `{"key":"k","id":"shop"}`)
		sendTo(s, `,"subaccount":"shop"`, "bo@example.net")
		settle(time.Second)
		if len(r.batches) != 0 {
			t.Errorf("while they are queued: %q", r.batches)
		}
		s.Recover()
		settle(time.Second)
		apiCall(s, "subaccounts/resume", `{"key":"k","id":"shop"}`)
		s.Recover()
		settle(time.Second)
		if got := fmt.Sprint(r.batches); got !=
			"[[ada@example.net send ada@example.net delivered] [bo@example.net send bo@example.net delivered]]" {
			t.Errorf("got %s", got)
		}
	})
}

// TestPostingAgain pins the schedule.
func TestPostingAgain(t *testing.T) {
	for _, test := range []struct {
		name            string
		refuses, breaks int
		batches         int
		seconds         string
	}{
		{"taken at once", 0, 0, 1, "[0]"},
		{"taken at last", 3, 2, 1, "[0 1 3 7 15 31]"},
		{"given up", 6, 0, 0, "[0 1 3 7 15 31]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := New(), &receiver{t: t, refuses: test.refuses, breaks: test.breaks}
				p := r.start(s)
				defer p.stop()
				sendTo(s, "", "ada@example.net")
				settle(time.Hour)
				var seconds []int
				for _, at := range r.times {
					seconds = append(seconds, int(at.Sub(r.times[0]).Seconds()))
				}
				if len(r.batches) != test.batches || fmt.Sprint(seconds) != test.seconds {
					t.Errorf("%d batches after calls at %v", len(r.batches), seconds)
				}
				hook := s.webhooks[0]
				if (hook.LastError == nil) != (test.batches == 1) || hook.EventsSent != 2*test.batches {
					t.Errorf("%+v", hook)
				}
				sendTo(s, "", "bo@example.net")
				settle(time.Second)
				if len(r.batches) != test.batches+1 {
					t.Error("later events are not posted")
				}
			})
		})
	}
}

// TestManyEvents are posted in batches, and the oldest make room for the newest.
func TestManyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := New(), &receiver{t: t}
		p := r.start(s)
		defer p.stop()
		for i := range maxQueued + 2500 {
			p.add(fmt.Appendf(nil, `{"event":"open","msg":{"email":"%d"}}`, i))
		}
		settle(time.Second)
		if len(r.batches) != 10 || len(r.batches[0]) != maxBatch || r.batches[0][0] != "2500 open" {
			t.Errorf("%d batches", len(r.batches))
		}
	})
}

func TestStoppedWhilePosting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := New(), &receiver{t: t, refuses: 100}
		p := r.start(s)
		sendTo(s, "", "ada@example.net")
		settle(2 * time.Second)
		p.stop()
		if calls := len(r.times); calls != 2 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestPostEventsRefuses(t *testing.T) {
	for _, test := range [][2]string{{"hooks.example.com", "k"}, {"ftp://a", "k"}, {"http://a.example", ""}} {
		if _, err := New().PostEvents(test[0], test[1]); err == nil || !strings.HasPrefix(err.Error(), "webhook: ") {
			t.Errorf("%v: %v", test, err)
		}
	}
}
