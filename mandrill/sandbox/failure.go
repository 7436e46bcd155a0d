package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Failure says how calls of the API fail.
type Failure struct {
	// Calls is how many calls fail. Default: 1.
	Calls int `json:"calls,omitempty"`
	// Delay is how long to wait before anything else, as a duration such as "2s".
	Delay string `json:"delay,omitempty"`
	// Reset closes the connection instead of an answer: "before" the message is recorded, or "after".
	Reset string `json:"reset,omitempty"`
	// Status is the HTTP status of the answer. 0 leaves the answer as it would have been, after Delay.
	Status int `json:"status,omitempty"`
	// Name is that of Mandrill's error, such as GeneralError.
	Name string `json:"name,omitempty"`
	// Body is sent as it is, in place of an error or, where Status is 0 or 200, of a success.
	Body string `json:"body,omitempty"`
	// RetryAfter is the header's number of seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// RejectReason rejects each recipient, with a status of 200.
	RejectReason string `json:"reject_reason,omitempty"`
	// QueuedReason queues each recipient, with a status of 200.
	QueuedReason string `json:"queued_reason,omitempty"`

	delay time.Duration
}

// Fail makes the next calls fail, after those that were asked for before.
func (s *Sandbox) Fail(f Failure) error {
	if f.Delay != "" {
		var err error
		if f.delay, err = time.ParseDuration(f.Delay); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range max(1, min(f.Calls, 1_000_000)) {
		s.failures = append(s.failures, f)
	}
	return nil
}

func (s *Sandbox) nextFailure() Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) == 0 {
		return Failure{}
	}
	next := s.failures[0]
	s.failures = s.failures[1:]
	return next
}

func (s *Sandbox) takeFailure(w http.ResponseWriter, r *http.Request) {
	var f Failure
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
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

// answer writes what the failure wants to be written, and tells whether there was anything.
func (f Failure) answer(w http.ResponseWriter) bool {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	switch {
	case f.Body != "":
		w.WriteHeader(max(f.Status, http.StatusOK))
		_, _ = w.Write([]byte(f.Body)) // the client is gone
	case f.Name != "" || f.Status > http.StatusOK:
		respondError(w, max(f.Status, http.StatusInternalServerError), f.Name, "The sandbox was told to fail.")
	default:
		return false
	}
	return true
}

// reset closes the connection without an answer.
func reset() { panic(http.ErrAbortHandler) }
