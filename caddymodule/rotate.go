package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// apiKeys puts changed API keys in force. They are looked at together, because one domain sends with one key, and one
// list is kept with one.
type apiKeys struct {
	app *App
	// behind is set while the outbox does not know of a change.
	behind bool
}

// follow implements follower.
func (k *apiKeys) follow(ctx context.Context) []*secret {
	isChanged := func(r registration) bool { return r.key.changed() }
	if !k.behind && !slices.ContainsFunc(k.app.registered, isChanged) {
		return nil
	}
	k.app.mu.Lock()
	wanted := k.wanted()
	k.settle(wanted)
	taken := k.app.useKeys(wanted)
	k.app.mu.Unlock()
	k.behind = k.behind || len(taken) > 0
	if !k.behind {
		return nil
	}
	// Entries that were claimed before go with either key. What held the old key does not hold the new one.
	err := k.app.reconfigure(ctx, func(*outbox.Settings) {})
	k.behind = err != nil
	if err != nil && !errors.Is(err, errNotInCharge) && ctx.Err() == nil {
		k.app.logger.Error("telling the outbox of a changed api_key", zap.Error(err))
	}
	return taken
}

// wanted returns the key that each secret should give, which is that in force where the new one can be none.
func (k *apiKeys) wanted() map[*secret]string {
	wanted := make(map[*secret]string)
	for _, r := range k.app.registered {
		if _, has := wanted[r.key]; has {
			continue
		}
		wanted[r.key] = r.key.wanted()
		var err error
		if r.list == nil {
			err = k.app.addMailClient(wanted[r.key])
		} else {
			_, err = k.app.listClient(r.list.base, wanted[r.key])
		}
		if err != nil {
			wanted[r.key] = r.key.value()
			r.key.refuse(err)
		}
	}
	return wanted
}

// settle leaves keys in force whose change would give one sender two.
func (k *apiKeys) settle(wanted map[*secret]string) {
	for again := true; again; {
		again = false
		keyOf := make(map[string]*secret)
		for _, r := range k.app.registered {
			first, has := keyOf[r.sender]
			if !has {
				keyOf[r.sender] = r.key
				continue
			}
			if wanted[first] == wanted[r.key] {
				continue
			}
			// Those in force agree: at least one of the two has changed.
			for _, s := range []*secret{first, r.key} {
				if wanted[s] != s.value() {
					wanted[s], again = s.value(), true
					s.refuse(fmt.Errorf("%s would have two different api_keys", r.sender))
				}
			}
		}
	}
}

// useKeys puts keys in force, and returns those that have changed. a.mu is held.
func (a *App) useKeys(wanted map[*secret]string) (taken []*secret) {
	for s, key := range wanted {
		if key != s.value() {
			s.take()
			taken = append(taken, s)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	used := make(map[string]bool)
	for _, r := range a.registered {
		key := r.key.value()
		if r.list == nil {
			a.keyOf[r.sender] = key
			used[key] = true
			continue
		}
		r.list.client.Store(a.listClients[accountName(r.list.base, key)])
		used[accountName(r.list.base, key)] = true
	}
	a.forgetClients(used)
	return taken
}

// forgetClients forgets the clients of keys that are no longer used. Calls that are under way end as they would.
func (a *App) forgetClients(used map[string]bool) {
	for key, client := range a.clients {
		if !used[key] {
			client.CloseIdleConnections()
			delete(a.clients, key)
			a.pings.forget(client)
			a.indexes.forget(client)
			a.searchers.forget(client)
		}
	}
	for name, client := range a.listClients {
		if !used[name] {
			client.CloseIdleConnections()
			delete(a.listClients, name)
		}
	}
}

// KeyEndings returns the last characters of the key in use, by sender. A short key shows nothing.
func (a *App) KeyEndings() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	endings := make(map[string]string)
	for _, r := range a.registered {
		ending := KeyEnding(r.key.value())
		if r.list != nil {
			ending = listKeyEnding(r.key.value())
		}
		if ending != "" {
			endings[r.sender] = ending
		}
	}
	return endings
}
