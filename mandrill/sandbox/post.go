package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const (
	// maxBatch is how many events Mandrill posts at once, and gather how long it waits for more of them.
	maxBatch = 1000
	gather   = 200 * time.Millisecond
	// maxQueued is how many events wait to be posted; the oldest ones go first.
	maxQueued = 10_000
	// postTimeout ends a call of the webhook, and attempts is how often a batch is posted.
	postTimeout = 10 * time.Second
	attempts    = 6
)

// poster posts events to a webhook. Its goroutine ends with stop.
type poster struct {
	sandbox *Sandbox
	webhook *webhook
	// address and key are the webhook's as it was configured: calls of the API don't change where events go.
	address, key string
	client       *http.Client
	wake         chan struct{}
	cancel       context.CancelFunc
	done         sync.WaitGroup

	mu     sync.Mutex
	queued []json.RawMessage
}

// PostEvents has the events of mails posted to a URL, signed with the webhook's key as Mandrill signs them. They are
// posted in batches and in the background; a batch that isn't answered with 200 is posted up to six times, and then
// given up. The account lists the webhook until stop is called, which gives up what is still to be posted, and waits
// for the end of a call. stop may be called more than once.
func (s *Sandbox) PostEvents(address, key string) (stop func(), err error) {
	if checkWebhook(address) != nil {
		return nil, fmt.Errorf("webhook: %q is not a URL such as http://localhost:8080/mandrill", address)
	}
	if key == "" {
		return nil, fmt.Errorf("webhook: the key is empty")
	}
	p := s.newPoster(address, key, http.DefaultTransport.(*http.Transport).Clone())
	p.start()
	return p.stop, nil
}

func (s *Sandbox) newPoster(address, key string, transport http.RoundTripper) *poster {
	return &poster{
		sandbox: s, address: address, key: key, wake: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: postTimeout, Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (p *poster) start() {
	s := p.sandbox
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	s.mu.Lock()
	defer s.mu.Unlock()
	p.webhook = s.newWebhook(webhookArguments{
		URL: p.address, Description: "The webhook of mandrill_sandbox", Events: mandrill.MessageEvents,
	}, p.key)
	s.posters = append(s.posters, p)
	p.done.Go(func() { p.run(ctx) })
}

func (p *poster) stop() {
	s := p.sandbox
	s.mu.Lock()
	s.removeWebhook(p.webhook)
	s.posters = slices.DeleteFunc(slices.Clone(s.posters), func(other *poster) bool { return other == p })
	s.mu.Unlock()
	p.cancel()
	p.done.Wait()
	p.client.CloseIdleConnections()
}

// add queues an event. It never waits.
func (p *poster) add(event json.RawMessage) {
	p.mu.Lock()
	p.queued = append(p.queued, event)
	p.queued = p.queued[max(0, len(p.queued)-maxQueued):]
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take takes the next batch.
func (p *poster) take() []json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.queued), maxBatch)
	batch := p.queued[:n:n]
	p.queued = p.queued[n:]
	return batch
}

func (p *poster) run(ctx context.Context) {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		if !wait(ctx, gather) {
			return
		}
		for batch := p.take(); len(batch) > 0 && ctx.Err() == nil; batch = p.take() {
			p.deliver(ctx, batch)
		}
	}
}

// wait reports whether the time has passed before the context ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// pause is how long to wait before a batch is posted again.
func pause(attempt int) time.Duration { return time.Second << min(attempt-1, 4) }

// deliver posts a batch until it is answered with 200, or was posted often enough.
func (p *poster) deliver(ctx context.Context, batch []json.RawMessage) {
	for attempt := 1; attempt <= attempts; attempt++ {
		err := p.post(ctx, batch)
		p.note(len(batch), err)
		if err == nil || attempt < attempts && !wait(ctx, pause(attempt)) {
			return
		}
	}
}

// post posts a batch once.
func (p *poster) post(ctx context.Context, batch []json.RawMessage) (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			err = fmt.Errorf("posting events: %v", failure)
		}
	}()
	list, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	form := url.Values{"mandrill_events": {string(list)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", "Mandrill-Webhook/1.0")
	request.Header.Set("X-Mandrill-Signature", mandrill.Signature(p.key, p.address, form))
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)) // so that the connection can be used again
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the webhook answered %s", answer.Status)
	}
	return nil
}

// note keeps with the webhook how a call of it ended.
func (p *poster) note(events int, err error) {
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	now := stamp(time.Now())
	if err != nil {
		text := err.Error()
		p.webhook.LastError = &text
		return
	}
	p.webhook.LastSentAt, p.webhook.LastError = &now, nil
	p.webhook.BatchesSent++
	p.webhook.EventsSent += events
}
