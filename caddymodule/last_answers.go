package caddymodule

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// lastAnswers are what accounts answered last, by their clients.
type lastAnswers[T any] struct {
	mu       sync.Mutex
	byClient map[*mandrill.Client]*lastAnswer[T]
}

type lastAnswer[T any] struct {
	// mu is held while the account is asked, so that nobody else asks it meanwhile.
	mu    sync.Mutex
	asked time.Time
	value T
}

// get returns what an account answered last, and asks it if that is longer ago than interval. The call goes on when ctx
// ends, for others who need its answer.
func (l *lastAnswers[T]) get(
	ctx context.Context, client *mandrill.Client, interval time.Duration, ask func(context.Context) T,
) T {
	last := l.of(client)
	last.mu.Lock()
	defer last.mu.Unlock()
	if time.Since(last.asked) < interval {
		return last.value
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), DefaultTimeout)
	defer cancel()
	last.value = ask(ctx)
	last.asked = time.Now()
	return last.value
}

func (l *lastAnswers[T]) of(client *mandrill.Client) *lastAnswer[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byClient[client] == nil {
		if l.byClient == nil {
			l.byClient = make(map[*mandrill.Client]*lastAnswer[T])
		}
		l.byClient[client] = new(lastAnswer[T])
	}
	return l.byClient[client]
}

func (l *lastAnswers[T]) forget(client *mandrill.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byClient, client)
}
