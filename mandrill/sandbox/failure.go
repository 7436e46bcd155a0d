package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Failure says how calls of the API fail.
type Failure struct {
	// Calls is how many calls fail. Default: 1.
	Calls int `json:"calls,omitempty"`
	// Delay is how long to wait before anything else, as a duration such as "2s".
	Delay string `json:"delay,omitempty"`
	// Reset closes the connection instead of an answer: "before" the message is recorded, or "after".
	Reset string `json:"reset,omitempty"`
	// Status is the HTTP status of the answer, from 200 to 599. Default: that of Name; without a Name,
	// the answer is as it would have been, after Delay.
	Status int `json:"status,omitempty"`
	// Name is that of Mandrill's error, such as Invalid_Key. Default: that of Status, else GeneralError.
	Name string `json:"name,omitempty"`
	// Body is sent as it is, in place of an error or, where Status is 0 or 200, of a success. The
	// message isn't recorded.
	Body string `json:"body,omitempty"`
	// RetryAfter is the header's number of seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// RejectReason rejects each recipient, with a status of 200. With "invalid", what is answered of
	// the recipients is "invalid" instead of "rejected".
	RejectReason string `json:"reject_reason,omitempty"`
	// QueuedReason queues each recipient, with a status of 200.
	QueuedReason string `json:"queued_reason,omitempty"`
	// FindsNothing has a search find nothing. Other calls don't count.
	FindsNothing bool `json:"finds_nothing,omitempty"`

	// Limit lets that many calls through at once, and again so many within Per; the others get RequestLimitExceeded, or
	// what else is asked for. It is the size of a token bucket.
	Limit int `json:"limit,omitempty"`
	// Per is how long an empty bucket takes to fill, as a duration. Default: 1s.
	Per string `json:"per,omitempty"`

	// Endpoint is the only call that fails, such as messages/search. Default: all but metadata/list, which every start of
	// a hook's Caddy makes.
	Endpoint string `json:"endpoint,omitempty"`
	// Subaccount is the only one whose messages fail.
	Subaccount string `json:"subaccount,omitempty"`
	// Contains is a text without which a request's body doesn't fail, as if a firewall judged by content.
	Contains string `json:"contains,omitempty"`

	delay  time.Duration
	bucket *bucket
}

// maxFailures is how many are kept, each for as many calls as it says.
const maxFailures = 100

// Fail makes the next calls fail, after those that were asked for before. An error names the field
// that is wrong.
func (s *Sandbox) Fail(f Failure) error {
	var err error
	if f.delay, err = mailchimp.CheckFailure(f.Calls, f.Delay, f.Reset, f.Status); err != nil {
		return err
	}
	if f.RetryAfter < 0 {
		return errors.New("retry_after: must not be negative")
	}
	if f.bucket, err = newBucket(f.Limit, f.Per); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures.Len() >= maxFailures {
		return fmt.Errorf("%d failures are still to come: forget them with DELETE /sandbox/fail", maxFailures)
	}
	s.failures.Add(f, f.Calls)
	s.change()
	return nil
}

// Recover forgets the failures that are still to come, and sends what was queued for a reason that lies with
// the account.
func (s *Sandbox) Recover() {
	s.mu.Lock()
	s.failures.Clear()
	s.recovered = time.Now()
	s.change()
	s.mu.Unlock()
	s.announceReleased()
}

func (s *Sandbox) recoveredSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.recovered.Before(t)
}

// nextFailure takes the failure of a call. The zero Failure lets it go well.
func (s *Sandbox) nextFailure(endpoint string, body []byte) Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures.Len() == 0 {
		return Failure{}
	}
	defer s.change()
	f := s.failures.NextWhere(func(f Failure) bool { return f.meant(endpoint, body) })
	if f.bucket == nil {
		return f
	}
	if f.bucket.take(time.Now()) {
		return Failure{delay: f.delay}
	}
	if f.Status == 0 && f.Name == "" && f.Body == "" && f.Reset == "" && f.RejectReason == "" && f.QueuedReason == "" {
		f.Name = "RequestLimitExceeded"
	}
	return f
}

// meant reports whether a failure is meant for a call.
func (f Failure) meant(endpoint string, body []byte) bool {
	if f.Endpoint == "" && endpoint == "metadata/list" || f.Endpoint != "" && f.Endpoint != endpoint ||
		f.FindsNothing && endpoint != "messages/search" ||
		f.Contains != "" && !bytes.Contains(body, []byte(f.Contains)) {
		return false
	}
	if f.Subaccount == "" {
		return true
	}
	var request struct {
		Message struct {
			Subaccount string `json:"subaccount"`
		} `json:"message"`
	}
	_ = json.Unmarshal(body, &request) // another body names no sub-account
	return request.Message.Subaccount == f.Subaccount
}

// pendingFailures returns the failures that are still to come, each with the calls that it is left for. s.mu is held.
func (s *Sandbox) pendingFailures() []Failure {
	pending := make([]Failure, 0, s.failures.Len())
	for failure, calls := range s.failures.All() {
		failure.Calls = calls
		pending = append(pending, failure)
	}
	return pending
}

// answer writes what the failure wants to be written, and reports whether there was anything.
func (f Failure) answer(w http.ResponseWriter) bool {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	switch {
	case f.Body != "":
		w.WriteHeader(max(f.Status, http.StatusOK))
		_, _ = w.Write([]byte(f.Body)) // the client is gone
	case f.Name != "" || f.Status > http.StatusOK:
		respondError(w, f.Status, f.Name, "The sandbox was told to fail.")
	default:
		return false
	}
	return true
}
