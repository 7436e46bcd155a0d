package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// ListPrefix begins the sender that entries of an audience name. No domain has a colon.
const ListPrefix = "list:"

// listSender is the sender of a list's entries.
func listSender(list string) string { return ListPrefix + strings.ToLower(list) }

// listAccount is the account that changes an audience.
type listAccount struct {
	list, key, base string
	client          *audience.Client
}

// registerDomains returns the client that sends for the domains. It is an error if one of them already has another key.
func (a *App) registerDomains(domains []string, key string) (*mandrill.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, domain := range domains {
		domain, err := mandrill.NormalizeDomain(domain)
		if err != nil {
			return nil, fmt.Errorf("sender_domain: %w", err)
		}
		if other, ok := a.keyOf[domain]; ok && other != key {
			return nil, fmt.Errorf("sender_domain %s has two different api_keys: one domain sends with one key", domain)
		}
		a.keyOf[domain] = key
	}
	if client, ok := a.clients[key]; ok {
		return client, nil
	}
	client, err := mandrill.New(key, mandrill.WithBaseURL(a.base))
	if err != nil {
		return nil, err
	}
	a.clients[key] = client
	return client, nil
}

// ClientFor returns the client that sends for a domain, or nil if the configuration has none.
func (a *App) ClientFor(domain string) *mandrill.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clients[a.keyOf[domain]]
}

// registerList returns the account of a list. It is an error if the list already has another one.
func (a *App) registerList(list, key, base string) (*listAccount, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sender := listSender(list)
	if other := a.lists[sender]; other != nil {
		if other.key != key || other.base != base {
			return nil, fmt.Errorf("list %s has two different api_keys or api_bases: one list is kept with one", list)
		}
		return other, nil
	}
	account := &listAccount{list: list, key: key, base: base}
	for _, other := range a.lists {
		if other.key == key && other.base == base {
			account.client = other.client
		}
	}
	if account.client == nil {
		var err error
		if account.client, err = audience.New(key, audience.WithBaseURL(base)); err != nil {
			return nil, err
		}
	}
	a.lists[sender] = account
	return account, nil
}

// listFor returns the account of the list that a sender names, or nil.
func (a *App) listFor(sender string) *listAccount {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists[sender]
}

// Senders returns the sender domains and the senders of audiences (ListPrefix and the list) that the configuration has
// an account for, each sorted.
func (a *App) Senders() []string {
	domains := a.Domains()
	a.mu.Lock()
	defer a.mu.Unlock()
	return append(domains, slices.Sorted(maps.Keys(a.lists))...)
}

// accountNames names the account of each sender by its key. Senders with one key share its workers and holds.
func (a *App) accountNames() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := maps.Clone(a.keyOf)
	for sender, account := range a.lists {
		names[sender] = account.base + " " + account.key
	}
	return names
}

// Domains returns the sender domains of the app and of all hooks, sorted.
func (a *App) Domains() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.keyOf))
}

// DefaultFrom returns the address of the first hook that has a sender, else test@ and the first sender domain: nobody
// needs to own that mailbox. There must be a sender domain.
func (a *App) DefaultFrom() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, hook := range a.hooks {
		if mails, ok := hook.kind.(*mails); ok && mails.from != "" {
			return mails.from
		}
	}
	return "test@" + slices.Min(slices.Collect(maps.Keys(a.keyOf)))
}

// TemplateStatus is the state of a template, as the admin API shows it.
type TemplateStatus struct {
	// The file, as the configuration names it.
	Template string    `json:"template"`
	Version  string    `json:"version"`
	LoadedAt time.Time `json:"loaded_at"`
	// Why the file on disk is not in force. Empty if it is.
	Error string `json:"error,omitempty"`
}

// Templates returns the state of each template, sorted by name.
func (a *App) Templates() []TemplateStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	byName := make(map[string]TemplateStatus)
	for _, hook := range a.hooks {
		current := hook.template.Status()
		s := TemplateStatus{Template: hook.Template, Version: current.Version, LoadedAt: current.LoadedAt}
		if current.Err != nil {
			s.Error = Explain(current.Err, a.LogRecipients)
		}
		byName[hook.Template] = s
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b TemplateStatus) int {
		return strings.Compare(a.Template, b.Template)
	})
}
