package caddymodule

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// Ory's repeats of one hook end within 93 s, and two equal mails of its courier some time apart are two mails: the
	// hash of a body is remembered for as long as this.
	rememberBody = 10 * time.Minute
	// How long a key from a template or a header is remembered if keep is not set.
	rememberKey = 24 * time.Hour
	// How long a repeat of a call whose outcome is unknown is not sent again.
	rememberUnknown = 2 * time.Minute
	// How many replies the cache has at most. Beyond it, the oldest one goes.
	maxReplies = 100_000
)

// replyCache remembers the answers to sync hooks by their idempotency keys, so that a repeat gets the answer of the
// first call, and no second mail is sent. All configurations of a process share one.
type replyCache struct {
	mu    sync.Mutex
	byKey map[string]*list.Element
	// byAge has the oldest reply in front.
	byAge *list.List
	max   int
}

// reply is the answer to the first call with a key, which may still be under way.
type reply struct {
	cache *replyCache
	key   string
	// done is closed when answer and until are set.
	done   chan struct{}
	answer answer
	until  time.Time
}

func newReplyCache(max int) *replyCache {
	return &replyCache{byKey: make(map[string]*list.Element), byAge: list.New(), max: max}
}

// claim returns the reply for the key. If it is new, first is set: the caller must give it an answer, and release it.
// Otherwise it has its answer: if the first call is under way, claim waits for its end, or returns the error of ctx.
func (c *replyCache) claim(ctx context.Context, key string) (r *reply, first bool, err error) {
	for {
		r, first = c.take(key)
		if first {
			return r, true, nil
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		if !r.expired() {
			return r, false, nil
		}
		c.drop(r)
	}
}

// take returns the key's reply, which is new if there was none.
func (c *replyCache) take(key string) (r *reply, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byKey[key]; ok {
		return element.Value.(*reply), false
	}
	r = &reply{cache: c, key: key, done: make(chan struct{})}
	c.byKey[key] = c.byAge.PushBack(r)
	for oldest := c.byAge.Front(); c.byAge.Len() > c.max || oldest.Value.(*reply).expired(); oldest = c.byAge.Front() {
		c.remove(oldest)
	}
	return r, true
}

// remember sets the answer, and for how long it is remembered.
func (r *reply) remember(a answer, remember time.Duration) {
	r.answer, r.until = a, time.Now().Add(remember)
}

// release lets waiting callers go on. A reply that is not remembered is dropped, as is one without an answer, which a
// panic leaves behind: the next call is a first one.
func (r *reply) release() {
	close(r.done)
	if r.expired() {
		r.cache.drop(r)
	}
}

// expired reports whether the reply has an answer that is no longer remembered.
func (r *reply) expired() bool {
	select {
	case <-r.done:
		return !time.Now().Before(r.until)
	default:
		return false
	}
}

// drop forgets the reply, unless its key has a new one.
func (c *replyCache) drop(r *reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byKey[r.key]; ok && element.Value == r {
		c.remove(element)
	}
}

func (c *replyCache) remove(element *list.Element) {
	delete(c.byKey, c.byAge.Remove(element).(*reply).key)
}

// replyPool keeps the cache over reloads: the old and the new configuration overlap, and Ory may repeat a call to the
// new one.
var replyPool = caddy.NewUsagePool()

const replyPoolKey = "replies"

// Destruct makes it a value of a pool. There is nothing to do.
func (*replyCache) Destruct() error { return nil }

func takeReplyCache() (*replyCache, error) {
	pooled, _, err := replyPool.LoadOrNew(replyPoolKey, func() (caddy.Destructor, error) {
		return newReplyCache(maxReplies), nil
	})
	if err != nil {
		return nil, err
	}
	return pooled.(*replyCache), nil
}

func releaseReplyCache() error {
	_, err := replyPool.Delete(replyPoolKey)
	return err
}
