package database

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is where processes say that they have put something in.
	channel = "mailchimp_outbox"
	// relisten is the time between two attempts to listen.
	relisten = 10 * time.Second
)

// Wakes implements DB.
func (db *Postgres) Wakes() <-chan struct{} { return db.wakes }

// Hears reports whether notifications arrive, so that polling may be rare.
func (db *Postgres) Hears() bool { return db.hears.Load() }

func (db *Postgres) listen(ctx context.Context, config *pgx.ConnConfig) {
	for ctx.Err() == nil {
		db.listenOnce(ctx, config)
		db.hears.Store(false)
		select {
		case <-ctx.Done():
		case <-time.After(relisten):
		}
	}
}

// listenOnce listens until the connection breaks. Whether anything arrives shows by a notification of its own:
// behind a pooler in transaction mode, LISTEN succeeds and nothing does.
func (db *Postgres) listenOnce(ctx context.Context, config *pgx.ConnConfig) {
	config = config.Copy()
	login := db.login.Load()
	config.User, config.Password = login.User, login.Password
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	if _, err := db.pool.Exec(ctx, db.Dialect().Notify); err != nil {
		return
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
		db.hears.Store(true)
		select {
		case db.wakes <- struct{}{}:
		default:
		}
	}
}
