package caddymodule

import (
	"context"
	"errors"
	"sync"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// pooledOutbox is an outbox that is shared by all configurations which name the same database.
type pooledOutbox struct {
	*outbox.Outbox
	// mu is held while the settings change.
	mu sync.Mutex
	// configuredBy is the app whose settings are in force.
	configuredBy *App
}

// Destruct closes the outbox when no configuration uses it any more: what is being sent gets some seconds to end.
func (o *pooledOutbox) Destruct() error { return o.Close() }

// takeOver puts an app's settings in force, unless the outbox was opened with them.
func (o *pooledOutbox) takeOver(app *App, loaded bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if loaded {
		if err := o.Configure(app.ctx, app.outboxSettings()); err != nil {
			return err
		}
	}
	o.configuredBy = app
	return nil
}

// giveBack puts the settings of the running app in force again, if those of another one are.
func (o *pooledOutbox) giveBack(from, running *App) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.configuredBy != from {
		return nil
	}
	o.configuredBy = running
	return o.Configure(running.ctx, running.outboxSettings())
}

// reconfigure puts changed settings of the app in force. If it returns an error, nothing was changed.
func (a *App) reconfigure(ctx context.Context, change func(*outbox.Settings)) error {
	if a.pooled == nil {
		return nil
	}
	a.pooled.mu.Lock()
	defer a.pooled.mu.Unlock()
	if a.pooled.configuredBy != a {
		return errNotInCharge
	}
	settings := a.outboxSettings()
	change(&settings)
	return a.outbox.Configure(ctx, settings)
}

// followOutbox has the secrets of the outbox followed. Of a DSN, only the user and the password are.
func (a *App) followOutbox() {
	if a.dsn != nil {
		a.addFollower(&group{secrets: []*secret{a.dsn}, use: func(ctx context.Context) error {
			dsn := a.dsn.wanted()
			name, err := outbox.Config{Postgres: dsn}.Name()
			if err != nil {
				return err
			}
			if name != a.outboxKey {
				return errOtherDatabase
			}
			return a.reconfigure(ctx, func(s *outbox.Settings) { s.Postgres = dsn })
		}}, a.dsn)
	}
	a.addFollower(&group{secrets: a.outboxKeys, use: func(ctx context.Context) error {
		return a.reconfigure(ctx, func(s *outbox.Settings) { s.Keys = wantedOf(a.outboxKeys) })
	}}, a.outboxKeys...)
}

var errOtherDatabase = errors.New("the DSN names another host or database, and only its user and its password may " +
	"change: caddy reload --force takes up the rest")
