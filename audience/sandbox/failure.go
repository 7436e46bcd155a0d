package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
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
	if f.Delay != "" {
		var err error
		if f.delay, err = time.ParseDuration(f.Delay); err != nil || f.delay < 0 {
			return fmt.Errorf("delay: %q is not a duration such as 2s", f.Delay)
		}
	}
	switch {
	case f.Calls < 0:
		return errors.New("calls: must not be negative")
	case f.Reset != "" && f.Reset != "before" && f.Reset != "after":
		return fmt.Errorf("reset: %q is neither before nor after", f.Reset)
	case f.Status != 0 && (f.Status < http.StatusOK || f.Status > 599):
		return fmt.Errorf("status: %d is not from 200 to 599", f.Status)
	case f.Title != "" && f.Status == 0:
		return errors.New("title: needs a status beside it")
	case f.Detail != "" && f.Title == "":
		return errors.New("detail: needs a title beside it")
	}
	f.Calls = max(f.Calls, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, f)
	return nil
}

func (s *Sandbox) nextFailure() Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) == 0 {
		return Failure{}
	}
	next := s.failures[0]
	if s.failures[0].Calls--; s.failures[0].Calls == 0 {
		s.failures = s.failures[1:]
	}
	return next
}

func (s *Sandbox) takeFailure(w http.ResponseWriter, r *http.Request) {
	var f Failure
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&f)
	if err == nil {
		err = s.Fail(f)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// before does what comes before the call, and tells whether that was all.
func (f Failure) before(w http.ResponseWriter, r *http.Request) bool {
	select {
	case <-time.After(f.delay):
	case <-r.Context().Done():
		reset()
	}
	switch {
	case f.Reset == "before":
		reset()
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

// reset closes the connection without an answer.
func reset() { panic(http.ErrAbortHandler) }
