package sandbox

import (
	"net/url"
	"slices"
	"time"
)

// webhook is a URL that the account has for events. Events are posted to those of PostEvents only: anybody who can call
// the API can add others.
type webhook struct {
	ID          int      `json:"id"`
	URL         string   `json:"url"`
	AuthKey     string   `json:"auth_key"`
	Description string   `json:"description"`
	Events      []string `json:"events"`
	CreatedAt   string   `json:"created_at"`
	LastSentAt  *string  `json:"last_sent_at"`
	BatchesSent int      `json:"batches_sent"`
	EventsSent  int      `json:"events_sent"`
	LastError   *string  `json:"last_error"`
}

type webhookArguments struct {
	ID          int      `json:"id"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Events      []string `json:"events"`
}

// maxWebhooks bounds the memory that they take.
const maxWebhooks = 100

// newWebhook gives the account a webhook. The lock is held.
func (s *Sandbox) newWebhook(a webhookArguments, key string) *webhook {
	s.lastWebhook++
	added := &webhook{
		ID: s.lastWebhook, URL: a.URL, AuthKey: key, Description: a.Description, Events: append([]string{}, a.Events...),
		CreatedAt: time.Now().UTC().Format("2006-01-02 15:04:05.000000"),
	}
	s.webhooks = append(s.webhooks, added)
	return added
}

func (s *Sandbox) listWebhooks(none) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []webhook{}
	for _, hook := range s.webhooks {
		list = append(list, *hook)
	}
	return list, nil
}

func (s *Sandbox) addWebhook(a webhookArguments) (any, error) {
	if err := checkWebhook(a.URL); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.webhooks) >= maxWebhooks {
		return nil, validation("The sandbox keeps %d webhooks at most", maxWebhooks)
	}
	return *s.newWebhook(a, newID()[:22]), nil
}

func checkWebhook(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return invalidField("url", "Please enter a valid URL")
	}
	return nil
}

// changeWebhook changes a webhook, and returns what it is afterwards.
func (s *Sandbox) changeWebhook(id int, change func(*webhook)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.webhooks, func(hook *webhook) bool { return hook.ID == id })
	if i < 0 {
		return nil, unknown("Unknown_Webhook", "Unknown hook ID %d", id)
	}
	hook := s.webhooks[i]
	change(hook)
	return *hook, nil
}

func (s *Sandbox) webhookInfo(a webhookArguments) (any, error) {
	return s.changeWebhook(a.ID, func(*webhook) {})
}

func (s *Sandbox) updateWebhook(a webhookArguments) (any, error) {
	if err := checkWebhook(a.URL); err != nil {
		return nil, err
	}
	return s.changeWebhook(a.ID, func(hook *webhook) {
		hook.URL, hook.Description, hook.Events = a.URL, a.Description, append([]string{}, a.Events...)
	})
}

func (s *Sandbox) deleteWebhook(a webhookArguments) (any, error) {
	return s.changeWebhook(a.ID, func(deleted *webhook) { s.removeWebhook(deleted) })
}

// removeWebhook takes a webhook from the account. The lock is held.
func (s *Sandbox) removeWebhook(removed *webhook) {
	s.webhooks = slices.DeleteFunc(slices.Clone(s.webhooks), func(hook *webhook) bool { return hook == removed })
}
