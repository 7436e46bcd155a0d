package sandbox

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Failure says how calls of the API fail.
type Failure struct {
	// Calls is how many calls fail. Default: 1.
	Calls int `json:"calls,omitempty"`
	// Delay is how long to wait before anything else, as a duration such as "2s".
	Delay string `json:"delay,omitempty"`
	// Reset closes the connection instead of an answer: "before" the change is made, or "after".
	Reset string `json:"reset,omitempty"`
	// Status is the HTTP status of the answer, from 200 to 599. Default: the answer is as it would have been, after Delay.
	Status int `json:"status,omitempty"`
	// Title is that of Mailchimp's error.
	Title string `json:"title,omitempty"`
	// Detail is that of Mailchimp's error.
	Detail string `json:"detail,omitempty"`
	// Body is sent as it is, in place of an error.
	Body string `json:"body,omitempty"`

	delay time.Duration
}

// Fail makes the next calls fail, after those that were asked for before. An error names the field that is wrong.
func (s *Sandbox) Fail(f Failure) error {
	var err error
	if f.delay, err = mailchimp.CheckFailure(f.Calls, f.Delay, f.Reset, f.Status); err != nil {
		return err
	}
	switch {
	case f.Title != "" && f.Status == 0:
		return errors.New("title: needs a status beside it")
	case f.Detail != "" && f.Title == "":
		return errors.New("detail: needs a title beside it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures.Add(f, f.Calls)
	return nil
}

func (s *Sandbox) nextFailure() Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures.Next()
}

// before does what comes before the call, and reports whether that was all.
func (f Failure) before(w http.ResponseWriter, r *http.Request) bool {
	mailchimp.Interrupt(r.Context(), f.delay, f.Reset)
	switch {
	case f.Reset == "after" || f.Status == 0 && f.Body == "":
		return false
	case f.Body != "" || f.Title == "":
		w.WriteHeader(max(f.Status, http.StatusOK))
		_, _ = w.Write([]byte(f.Body)) // the client is gone
	default:
		respondProblem(w, refuse(f.Status, f.Title, f.Detail))
	}
	return true
}
