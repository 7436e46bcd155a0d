package caddymodule

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// once makes a call as a sync hook does: it sends if it is the first one with the key.
func once(ctx context.Context, c *replyCache, key string, send func() (answer, time.Duration)) (answer, error) {
	r, first, err := c.claim(ctx, key)
	if err != nil {
		return answer{}, err
	}
	if !first {
		repeat := r.answer
		repeat.duplicate = true
		return repeat, nil
	}
	defer r.release()
	r.remember(send())
	return r.answer, nil
}

func TestRepliesAnswerRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newReplyCache(10)
		sent := 0
		send := func(problem *ory.Error, remember time.Duration) func() (answer, time.Duration) {
			return func() (answer, time.Duration) {
				sent++
				return answer{problem: problem}, remember
			}
		}
		for _, step := range []struct {
			name      string
			after     time.Duration
			key       string
			problem   *ory.Error
			remember  time.Duration
			wantSent  int
			duplicate bool
			want      *ory.Error
		}{
			{name: "first", key: "a", remember: time.Minute, wantSent: 1},
			{name: "repeat", key: "a", remember: time.Minute, wantSent: 1, duplicate: true},
			{name: "other key", key: "b", remember: time.Minute, wantSent: 2},
			{name: "just before the end", after: time.Minute - 1, key: "a", wantSent: 2, duplicate: true},
			{name: "at the end", after: 1, key: "a", remember: time.Minute, wantSent: 3},
			{name: "failed, not remembered", key: "c", problem: ory.ErrUnavailable, wantSent: 4, want: ory.ErrUnavailable},
			{
				name: "tried again", key: "c", problem: ory.ErrUnavailable, remember: time.Minute, wantSent: 5,
				want: ory.ErrUnavailable,
			},
			{name: "failed, remembered", key: "c", wantSent: 5, duplicate: true, want: ory.ErrUnavailable},
		} {
			time.Sleep(step.after)
			got, err := once(t.Context(), c, step.key, send(step.problem, step.remember))
			if err != nil || got.problem != step.want || got.duplicate != step.duplicate || sent != step.wantSent {
				t.Fatalf("%s: answer %+v, error %v, %d sent", step.name, got, err, sent)
			}
		}
	})
}

func TestRepliesShareOneSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newReplyCache(10)
		sent := 0
		release := make(chan struct{})
		answers := make(chan answer)
		for range 5 {
			go func() {
				got, err := once(t.Context(), c, "key", func() (answer, time.Duration) {
					sent++
					<-release
					return answer{}, time.Minute
				})
				if err != nil {
					t.Error(err)
				}
				answers <- got
			}()
		}
		synctest.Wait()

		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := once(impatient, c, "key", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that gives up gets %v", err)
		}

		close(release)
		duplicates := 0
		for range 5 {
			if (<-answers).duplicate {
				duplicates++
			}
		}
		if sent != 1 || duplicates != 4 {
			t.Errorf("%d sent, %d duplicates", sent, duplicates)
		}
	})
}

func TestRepliesSurviveAPanic(t *testing.T) {
	c := newReplyCache(10)
	func() {
		defer func() { _ = recover() }()
		_, _ = once(t.Context(), c, "key", func() (answer, time.Duration) { panic("sending") })
	}()
	got, err := once(t.Context(), c, "key", func() (answer, time.Duration) { return answer{}, 0 })
	if err != nil || got.duplicate {
		t.Errorf("answer %+v, error %v", got, err)
	}
}

func TestRepliesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newReplyCache(100)
		fill := func(key string, remember time.Duration) {
			_, _ = once(t.Context(), c, key, func() (answer, time.Duration) { return answer{}, remember })
		}
		for i := range 1000 {
			fill(strconv.Itoa(i), time.Hour)
		}
		if len(c.byKey) != 100 || c.byAge.Len() != 100 {
			t.Errorf("%d keys, %d replies", len(c.byKey), c.byAge.Len())
		}
		got, err := once(t.Context(), c, "999", nil)
		if err != nil || !got.duplicate {
			t.Errorf("the newest is gone: %+v, %v", got, err)
		}
		// What expired goes with the next one that comes.
		time.Sleep(time.Hour)
		fill("new", time.Hour)
		if len(c.byKey) != 1 {
			t.Errorf("%d keys", len(c.byKey))
		}
	})
}
