package mailchimp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"
)

// A FailureSwitch holds the failures that a sandbox was asked for, each for its number of calls. F says how a call
// fails. It has no lock of its own: that of the sandbox guards it.
type FailureSwitch[F any] struct {
	planned []plannedFailure[F]
}

type plannedFailure[F any] struct {
	failure F
	calls   int
}

// Add makes calls fail, after those of the failures that were added before. At least one call fails.
func (s *FailureSwitch[F]) Add(failure F, calls int) {
	s.planned = append(s.planned, plannedFailure[F]{failure, max(calls, 1)})
}

// Next takes the failure of the next call. It returns the zero F if the call is to go well.
func (s *FailureSwitch[F]) Next() F { return s.NextWhere(func(F) bool { return true }) }

// NextWhere is Next for a call that only some of the failures are meant for. It leaves the others alone.
func (s *FailureSwitch[F]) NextWhere(meant func(F) bool) F {
	i := slices.IndexFunc(s.planned, func(p plannedFailure[F]) bool { return meant(p.failure) })
	if i < 0 {
		var none F
		return none
	}
	next := &s.planned[i]
	failure := next.failure
	if next.calls--; next.calls == 0 {
		s.planned = slices.Delete(s.planned, i, i+1)
	}
	return failure
}

// Clear forgets the failures that are still to come.
func (s *FailureSwitch[F]) Clear() { s.planned = nil }

// Len returns the number of failures that are still to come. Each may be for several calls.
func (s *FailureSwitch[F]) Len() int { return len(s.planned) }

// All returns the failures that are still to come, with the number of calls that are left to each.
func (s *FailureSwitch[F]) All() iter.Seq2[F, int] {
	return func(yield func(F, int) bool) {
		for _, planned := range s.planned {
			if !yield(planned.failure, planned.calls) {
				return
			}
		}
	}
}

// CheckFailure checks what the failures of both sandboxes have in common, and returns the delay. An error names the
// field that is wrong.
func CheckFailure(calls int, delay, reset string, status int) (time.Duration, error) {
	var wait time.Duration
	if delay != "" {
		var err error
		if wait, err = time.ParseDuration(delay); err != nil || wait < 0 {
			return 0, fmt.Errorf("delay: %q is not a duration such as 2s", delay)
		}
	}
	switch {
	case calls < 0:
		return 0, errors.New("calls: must not be negative")
	case reset != "" && reset != "before" && reset != "after":
		return 0, fmt.Errorf("reset: %q is neither before nor after", reset)
	case status != 0 && (status < http.StatusOK || status > 599):
		return 0, fmt.Errorf("status: %d is not from 200 to 599", status)
	}
	return wait, nil
}

// Interrupt does what a failure has happen before the call itself: it waits, and closes the connection if reset is
// "before" or the client goes away meanwhile.
func Interrupt(ctx context.Context, wait time.Duration, reset string) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		CloseConnection()
	}
	if reset == "before" {
		CloseConnection()
	}
}

// CloseConnection ends an HTTP handler without an answer. It panics with http.ErrAbortHandler.
func CloseConnection() { panic(http.ErrAbortHandler) }

// FailureHandler returns the handler that programs ask for a failure, as JSON. It answers 400 with the error of fail.
func FailureHandler[F any](fail func(F) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var failure F
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&failure)
		if err == nil {
			err = fail(failure)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
