package caddymodule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

const (
	// maxSearched is how many entries one search asks for, and searchLimit how many messages it may return.
	maxSearched = 50
	searchLimit = 1000
	// searchesAllowed is how many searches an account may make in 12 s. Mandrill allows 20 in a minute.
	searchesAllowed = 3
	// searchAgain is how long a search waits whose account has made enough.
	searchAgain = 12 * time.Second
)

// searchWindow is how long a search waits for others, to ask for their entries too. Tests shorten it.
var searchWindow = 500 * time.Millisecond

// indexedSince is how long ago a message must have been sent at least for a search to find it. Tests shorten it.
var indexedSince = 20 * time.Second

// longestLag is how long after it was accepted a message is found at the latest.
const longestLag = 2 * time.Minute

// found is what a search says of one entry.
type found struct {
	messages []mandrill.Info
	// indexed is when a message was sent that the search has found: messages from before it that were not found are not
	// there. It is zero if the search has found none that is known to be sent.
	indexed time.Time
	err     error
}

var errManySearches = errors.New("the account has made as many searches as Mandrill allows")

// searcher searches for the messages of one sender's entries, of many with one call.
type searcher struct {
	app    *App
	client *mandrill.Client
	sender string

	mu      sync.Mutex
	waiting map[string][]chan found
}

// searchers are those of an app, by client, and then by sender.
type searchers struct {
	mu       sync.Mutex
	byClient map[*mandrill.Client]map[string]*searcher
}

func (a *App) searcherFor(sender string, client *mandrill.Client) *searcher {
	a.searchers.mu.Lock()
	defer a.searchers.mu.Unlock()
	if a.searchers.byClient == nil {
		a.searchers.byClient = make(map[*mandrill.Client]map[string]*searcher)
	}
	if a.searchers.byClient[client] == nil {
		a.searchers.byClient[client] = make(map[string]*searcher)
	}
	s := a.searchers.byClient[client][sender]
	if s == nil {
		s = &searcher{app: a, client: client, sender: sender, waiting: make(map[string][]chan found)}
		a.searchers.byClient[client][sender] = s
	}
	return s
}

// forget forgets the searchers of a client. Searches that are under way end as they would.
func (s *searchers) forget(client *mandrill.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byClient, client)
}

// search looks for the messages of an entry. The first of those that come within searchWindow asks for all of them.
func (s *searcher) search(ctx context.Context, entry string) found {
	reply := make(chan found, 1)
	s.mu.Lock()
	first := len(s.waiting) == 0
	s.waiting[entry] = append(s.waiting[entry], reply)
	full := len(s.waiting) >= maxSearched
	s.mu.Unlock()
	if first && !full {
		select {
		case <-time.After(searchWindow):
		case <-ctx.Done():
		}
	}
	if first || full {
		s.ask(ctx)
	}
	select {
	case answer := <-reply:
		return answer
	case <-ctx.Done():
		return found{err: ctx.Err()}
	}
}

// ask searches for all entries that wait, and replies to them.
func (s *searcher) ask(ctx context.Context) {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = make(map[string][]chan found)
	s.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	entries := make([]string, 0, len(waiting))
	for entry := range waiting {
		entries = append(entries, entry)
	}
	messages, indexed, err := s.call(ctx, entries)
	for entry, replies := range waiting {
		answer := found{indexed: indexed, err: err}
		for _, message := range messages {
			if message.Metadata[entryField] == entry {
				answer.messages = append(answer.messages, message)
			}
		}
		for _, reply := range replies {
			reply <- answer
		}
	}
}

func (s *searcher) call(
	ctx context.Context, entries []string,
) (messages []mandrill.Info, indexed time.Time, err error) {
	allowed, err := s.app.outbox.Allow(ctx, "search", s.sender, searchesAllowed)
	if err != nil {
		return nil, indexed, err
	}
	if !allowed {
		return nil, indexed, errManySearches
	}
	// A message that is known to be sent shows whether the search finds any.
	known, err := s.app.outbox.LastSent(ctx, s.sender, time.Now().Add(-indexedSince))
	if err != nil {
		return nil, indexed, err
	}
	asked := entries
	if known.ID != "" {
		asked = append(slices.Clone(entries), known.ID)
	}
	messages, err = s.client.Search(ctx, "u_"+entryField+":"+strings.Join(asked, " OR u_"+entryField+":"), searchLimit)
	if err != nil {
		return nil, indexed, err
	}
	isKnown := func(m mandrill.Info) bool { return m.Metadata[entryField] == known.ID }
	// An answer as long as its limit proves that what is in it exists, and nothing of the rest.
	if known.ID != "" && slices.ContainsFunc(messages, isKnown) && len(messages) < searchLimit {
		indexed = known.Ended
	}
	return messages, indexed, nil
}

// search finds out what became of the mail of an attempt whose outcome is unknown.
func (m storedMail) search(ctx context.Context, entry outbox.Delivery) outbox.Result {
	if !m.isTied(entry) {
		return outbox.Result{
			Verdict: outbox.VerdictResend,
			Reason:  "its metadata has no room for what a search needs: it is sent once more",
		}
	}
	answer := m.app.searcherFor(entry.Sender, m.client).search(ctx, entry.ID)
	var refused *mandrill.Error
	switch {
	case errors.Is(answer.err, errManySearches):
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: answer.err.Error(), After: searchAgain}
	case errors.As(answer.err, &refused) && refused.Kind == mandrill.Refused:
		return outbox.Result{Verdict: outbox.VerdictResend, Reason: "the key may not search: it is sent once more"}
	case errors.As(answer.err, &refused):
		return outbox.Result{
			Verdict: outbox.VerdictRetry,
			Reason:  "the search was not answered: " + m.app.why(answer.err, nil),
			After:   refused.RetryAfter,
		}
	case answer.err != nil:
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: answer.err.Error()}
	}
	rest, err := m.remainingOf(entry)
	if err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: err.Error()}
	}
	messages := slices.DeleteFunc(answer.messages, func(info mandrill.Info) bool {
		return !m.isOf(info, entry.ID) || isFormer(info, entry.Outcome)
	})
	switch {
	case len(messages) > 0:
		return foundOutcome(messages, rest)
	case answer.indexed.After(lastAttempt(entry)),
		!answer.indexed.IsZero() && time.Since(lastAttempt(entry)) >= longestLag:
		return outbox.Result{Verdict: outbox.VerdictNotAccepted, Reason: "Mandrill does not have it: it is sent again"}
	case !answer.indexed.IsZero():
		// The index may lag behind.
		return outbox.Result{
			Verdict: outbox.VerdictResend, Reason: "Mandrill does not have it, as far as its search goes: it is sent once more",
		}
	case m.app.lacksIndex(ctx, m.client):
		return outbox.Result{Verdict: outbox.VerdictResend, Reason: errNoIndex.Error() + "; it is sent once more"}
	}
	return outbox.Result{
		Verdict: outbox.VerdictRetry, Reason: "the search found nothing, not even a message that is known to be sent",
	}
}

// lastAttempt returns when the outcome of the last attempt turned out to be unknown.
func lastAttempt(entry outbox.Delivery) time.Time {
	if len(entry.Attempts) == 0 {
		return entry.Accepted
	}
	return entry.Attempts[len(entry.Attempts)-1].Time
}

// foundOutcome turns messages that a search has found into the result of an attempt.
func foundOutcome(messages []mandrill.Info, of remaining) outbox.Result {
	recipients := make([]mandrill.Recipient, len(messages))
	for i, info := range messages {
		recipients[i] = mandrill.Recipient{Email: info.Email, ID: info.ID}
		setState(&recipients[i], info)
	}
	outcome := of.outcome(recipients)
	if slices.ContainsFunc(recipients, func(r mandrill.Recipient) bool { return r.Status == "queued" }) {
		outcome.Verdict = outbox.VerdictBacklogged
	}
	if outcome.Reason == "" {
		outcome.Reason = "found at Mandrill after an attempt whose outcome was unknown"
	}
	return outcome
}
