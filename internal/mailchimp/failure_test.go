package mailchimp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailureSwitch(t *testing.T) {
	var s FailureSwitch[string]
	s.Add("first", 2)
	s.Add("second", 0)
	if got := s.Next(); got != "first" || s.Len() != 2 {
		t.Errorf("got %s, %d to come", got, s.Len())
	}
	pending := ""
	for failure, calls := range s.All() {
		pending += fmt.Sprint(failure, calls, " ")
	}
	if pending != "first1 second1 " {
		t.Errorf("to come: %s", pending)
	}
	for _, want := range []string{"first", "second", "", ""} {
		if got := s.Next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	s.Add("third", 1)
	if s.Clear(); s.Len() != 0 || s.Next() != "" {
		t.Error("a failure is left")
	}
}

func TestFailuresForSome(t *testing.T) {
	var s FailureSwitch[string]
	s.Add("first", 2)
	s.Add("second", 1)
	second := func(failure string) bool { return failure == "second" }
	if got := s.NextWhere(second) + s.NextWhere(second); got != "second" || s.Len() != 1 || s.Next() != "first" {
		t.Errorf("got %s, %d to come", got, s.Len())
	}
}

func TestCheckFailure(t *testing.T) {
	for _, test := range []struct {
		calls        int
		delay, reset string
		status       int
		want         string
	}{
		{0, "", "", 0, ""},
		{3, "2s", "before", 599, ""},
		{0, "0s", "after", 200, ""},
		{-1, "", "", 0, "calls: "},
		{0, "x", "", 0, "delay: "},
		{0, "-1s", "", 0, "delay: "},
		{0, "", "during", 0, "reset: "},
		{0, "", "", 99, "status: "},
		{0, "", "", 1000, "status: "},
	} {
		_, err := CheckFailure(test.calls, test.delay, test.reset, test.status)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if wait, err := CheckFailure(0, "2s", "", 0); err != nil || wait != 2*time.Second {
		t.Errorf("got %v, %v", wait, err)
	}
}

func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		name    string
		reset   string
		timeout time.Duration
		closed  bool
		took    time.Duration
	}{
		{"waits", "", time.Minute, false, time.Second},
		{"closes after the call", "after", time.Minute, false, time.Second},
		{"closes before the call", "before", time.Minute, true, time.Second},
		{"the client goes away", "", time.Millisecond, true, time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				started := time.Now()
				defer func() {
					err, _ := recover().(error)
					closed, took := errors.Is(err, http.ErrAbortHandler), time.Since(started)
					if closed != test.closed || took != test.took {
						t.Errorf("closed %t after %v", closed, took)
					}
				}()
				Interrupt(ctx, time.Second, test.reset)
			})
		})
	}
}

func TestFailureHandler(t *testing.T) {
	type failure struct{ Status int }
	var got []failure
	handler := FailureHandler(func(f failure) error {
		if f.Status == 99 {
			return errors.New("status: too low")
		}
		got = append(got, f)
		return nil
	})
	for body, want := range map[string]string{
		`{"status":503}`: "204 ", `{"status":99}`: "400 status: too low\n", `{"sttus":1}`: "400 ", `[`: "400 ",
		`"` + strings.Repeat("x", 1<<20): "400 ",
	} {
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if answer := fmt.Sprint(w.Code, " ", w.Body); !strings.HasPrefix(answer, want) {
			t.Errorf("%.20s: %s", body, answer)
		}
	}
	if len(got) != 1 || got[0].Status != 503 {
		t.Errorf("took %+v", got)
	}
}
