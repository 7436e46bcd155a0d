package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const (
	// indexInterval is how long it is remembered whether an account has the index of the metadata field that entries are
	// searched by.
	indexInterval = 10 * time.Minute
	// indexAgain is how long it is remembered that an account did not say.
	indexAgain = 10 * time.Second
)

var errNoIndex = errors.New("the account has no index of the metadata field " + entryField +
	": caddy mailchimp setup makes it")

// index returns nil if an account has the index, errNoIndex if it has none, and why that is not known otherwise. It
// asks Mandrill at most once in the interval.
func (a *App) index(ctx context.Context, client *mandrill.Client, interval time.Duration) error {
	if err := a.indexes.peek(client); err != nil && !errors.Is(err, errNoIndex) {
		interval = min(interval, indexAgain)
	}
	return a.indexes.get(ctx, client, interval, func(ctx context.Context) error {
		fields, err := client.MetadataFields(ctx)
		if err == nil && !mandrill.IsIndexed(fields, entryField) {
			err = errNoIndex
		}
		return err
	})
}

// lacksIndex reports whether an account is known to have no index.
func (a *App) lacksIndex(ctx context.Context, client *mandrill.Client) bool {
	return errors.Is(a.index(ctx, client, indexInterval), errNoIndex)
}

// watchIndexes asks the accounts of all sender domains for their indexes, at the start and from time to time, so that
// the status can name those that have none.
func (a *App) watchIndexes(ctx context.Context) {
	for wait := indexAgain; ctx.Err() == nil; wait = min(2*wait, indexInterval) {
		for _, domain := range a.Domains() {
			if client := a.ClientFor(domain); client != nil {
				_ = a.index(ctx, client, indexInterval) // it is remembered
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait): // soon at first: Mandrill may not answer yet, as a sandbox of the same Caddy
		}
	}
}

// statusTimeout bounds what the status asks of Mandrill.
const statusTimeout = 2 * time.Second

// Unindexed returns the sender domains whose account has no index. An account that had none is asked again: the
// operator may just have made it.
func (a *App) Unindexed(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	unindexed := []string{}
	for _, domain := range a.Domains() {
		if a.isUnindexed(domain) && errors.Is(a.index(ctx, a.ClientFor(domain), time.Second), errNoIndex) {
			unindexed = append(unindexed, domain)
		}
	}
	return unindexed
}

// isUnindexed reports whether the account of a sender domain had no index when it was asked last.
func (a *App) isUnindexed(domain string) bool {
	client := a.ClientFor(domain)
	return client != nil && errors.Is(a.indexes.peek(client), errNoIndex)
}
