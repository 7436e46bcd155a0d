package caddymodule

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestLastAnswers asks an account once in an interval, and an account that hangs keeps no other one waiting.
func TestLastAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers lastAnswers
		one, other := new(mandrill.Client), new(mandrill.Client)
		asked := 0
		refused := errors.New("refused")
		ask := func(context.Context) error {
			asked++
			return refused
		}
		for _, after := range []time.Duration{0, time.Second, 8 * time.Second, 2 * time.Second} {
			time.Sleep(after)
			if err := answers.get(t.Context(), one, 10*time.Second, ask); !errors.Is(err, refused) {
				t.Errorf("after %v: %v", after, err)
			}
		}
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
		go func() {
			_ = answers.get(t.Context(), other, 10*time.Second, func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		synctest.Wait()
		began := time.Now()
		_ = answers.get(t.Context(), one, 10*time.Second, ask)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v for another account", waited)
		}
		time.Sleep(DefaultTimeout)
		if err := answers.get(t.Context(), other, time.Hour, ask); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of the account that hung: %v", err)
		}
		answers.forget(one)
		_ = answers.get(t.Context(), one, time.Hour, ask)
		if asked != 3 {
			t.Errorf("asked %d times", asked)
		}
	})
}
