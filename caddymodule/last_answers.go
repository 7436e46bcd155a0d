package caddymodule

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// lastAnswers are what accounts answered last, by their clients.
type lastAnswers[T any] struct {
	mu       sync.Mutex
	byClient map[*mandrill.Client]*account[T]
}

type account[T any] struct {
	// mu is held while the account is asked, so that nobody else asks it meanwhile.
	mu   sync.Mutex
	last atomic.Pointer[lastAnswer[T]]
}

type lastAnswer[T any] struct {
	asked time.Time
	value T
}

// get returns what an account answered last, and asks it if that is longer ago than interval. What is returned because
// ctx ends is not remembered.
func (l *lastAnswers[T]) get(
	ctx context.Context, client *mandrill.Client, interval time.Duration, ask func(context.Context) T,
) T {
	a := l.of(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.last.Load(); last != nil && time.Since(last.asked) < interval {
		return last.value
	}
	asking, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	answer := ask(asking)
	if ctx.Err() == nil {
		a.last.Store(&lastAnswer[T]{time.Now(), answer})
	}
	return answer
}

// peek returns what an account answered last, or the zero value if it was not asked yet.
func (l *lastAnswers[T]) peek(client *mandrill.Client) (value T) {
	if last := l.of(client).last.Load(); last != nil {
		value = last.value
	}
	return value
}

func (l *lastAnswers[T]) of(client *mandrill.Client) *account[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byClient[client] == nil {
		if l.byClient == nil {
			l.byClient = make(map[*mandrill.Client]*account[T])
		}
		l.byClient[client] = new(account[T])
	}
	return l.byClient[client]
}

func (l *lastAnswers[T]) forget(client *mandrill.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byClient, client)
}
