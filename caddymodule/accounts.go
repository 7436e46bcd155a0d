package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
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
	list, base string
	key        *secret
	client     atomic.Pointer[audience.Client]
}

// registration says which key sends for a sender, or keeps a list.
type registration struct {
	sender string
	key    *secret
	// list is nil for a domain.
	list *listAccount
}

// registerDomains has a key send for domains. It is an error if one of them already has another key.
func (a *App) registerDomains(domains []string, key *secret) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, domain := range domains {
		domain, err := mandrill.NormalizeDomain(domain)
		if err != nil {
			return fmt.Errorf("sender_domain: %w", err)
		}
		if other, ok := a.keyOf[domain]; ok && other != key.value() {
			return fmt.Errorf("sender_domain %s has two different api_keys: one domain sends with one key", domain)
		}
		a.keyOf[domain] = key.value()
		a.registered = append(a.registered, registration{sender: domain, key: key})
	}
	a.addFollower(a.keys, key)
	return a.addMailClient(key.value())
}

// addMailClient makes the client that sends with a key, unless there is one. a.mu is held.
func (a *App) addMailClient(key string) error {
	if _, ok := a.clients[key]; ok {
		return nil
	}
	client, err := mandrill.New(key, mandrill.WithBaseURL(a.base))
	if err == nil {
		a.clients[key] = client
	}
	return err
}

// ClientFor returns the client that sends for a domain, or nil if the configuration has none.
func (a *App) ClientFor(domain string) *mandrill.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clients[a.keyOf[domain]]
}

// registerList returns the account of a list. It is an error if the list already has another one.
func (a *App) registerList(list string, key *secret, base string) (*listAccount, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sender := listSender(list)
	account := a.lists[sender]
	if account != nil && (account.key.value() != key.value() || account.base != base) {
		return nil, fmt.Errorf("list %s has two different api_keys or api_bases: one list is kept with one", list)
	}
	if account == nil {
		account = &listAccount{list: list, key: key, base: base}
		client, err := a.listClient(base, key.value())
		if err != nil {
			return nil, err
		}
		account.client.Store(client)
		a.lists[sender] = account
	}
	a.registered = append(a.registered, registration{sender, key, account})
	a.addFollower(a.keys, key)
	return account, nil
}

// listClient returns the client that changes audiences with a key. a.mu is held.
func (a *App) listClient(base, key string) (*audience.Client, error) {
	name := accountName(base, key)
	if client, ok := a.listClients[name]; ok {
		return client, nil
	}
	client, err := audience.New(key, audience.WithBaseURL(base))
	if err == nil {
		a.listClients[name] = client
	}
	return client, err
}

// accountName names the account of an audience.
func accountName(base, key string) string { return base + " " + key }

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
		names[sender] = accountName(account.base, account.key.value())
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
