package caddymodule

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// lastAnswers are the errors, or nil, that asking accounts ended with last, by their clients.
type lastAnswers struct {
	mu       sync.Mutex
	byClient map[*mandrill.Client]*accountAnswer
}

type accountAnswer struct {
	// mu is held while the account is asked, so that nobody else asks it meanwhile.
	mu   sync.Mutex
	last atomic.Pointer[lastAnswer]
}

type lastAnswer struct {
	asked time.Time
	err   error
}

// get returns what an account answered last, and asks it if that is longer ago than interval. What is returned because
// ctx ends is not remembered.
func (l *lastAnswers) get(
	ctx context.Context, client *mandrill.Client, interval time.Duration, ask func(context.Context) error,
) error {
	a := l.of(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.last.Load(); last != nil && time.Since(last.asked) < interval {
		return last.err
	}
	asking, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	answer := ask(asking)
	if ctx.Err() == nil {
		a.last.Store(&lastAnswer{time.Now(), answer})
	}
	return answer
}

// peek returns what an account answered last, or nil if it was not asked yet.
func (l *lastAnswers) peek(client *mandrill.Client) error {
	if last := l.of(client).last.Load(); last != nil {
		return last.err
	}
	return nil
}

func (l *lastAnswers) of(client *mandrill.Client) *accountAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byClient[client] == nil {
		if l.byClient == nil {
			l.byClient = make(map[*mandrill.Client]*accountAnswer)
		}
		l.byClient[client] = new(accountAnswer)
	}
	return l.byClient[client]
}

func (l *lastAnswers) forget(client *mandrill.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byClient, client)
}
