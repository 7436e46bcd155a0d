package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// Outbox says where mails are kept between the answer to Ory and their delivery. Its kinds are not Caddy modules,
// because nobody else can add one.
type Outbox struct {
	// "sqlite", "postgres" or "off". Default: sqlite.
	Kind string `json:"kind,omitempty"`
	// The SQLite file. Default: mailchimp/outbox.db in Caddy's data directory.
	File string `json:"file,omitempty"`
	// The DSN of a PostgreSQL database, which several edges may share.
	DSN string `json:"dsn,omitempty"`
}

// outboxPool keeps outboxes over reloads, by what they are and not by how they are set.
var outboxPool = caddy.NewUsagePool()

// Running returns the app of the running configuration, or nil. While another configuration is loaded, the running one
// is still the one before it.
func Running() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("mailchimp")
	if err != nil {
		return nil
	}
	return app.(*App)
}

// RunningOutbox returns the outbox, or nil if it is off or not started.
func (a *App) RunningOutbox() *outbox.Outbox { return a.outbox }

// checkOutbox finds options that contradict each other.
func (a *App) checkOutbox() error {
	o := a.Outbox
	switch {
	case o == nil:
	case o.Kind == "off" &&
		(a.Workers != 0 || a.RetryFor != 0 || a.MaxPending != 0 || a.OutboxKeys != nil || a.KeepContent):
		return errors.New("outbox off contradicts workers, retry_for, max_pending, outbox_key and keep_content: " +
			"remove it or them")
	case o.File != "" && (o.Kind == "postgres" || o.Kind == "off"):
		return fmt.Errorf("outbox %s has no file: that is for outbox sqlite", o.Kind)
	case o.DSN != "" && o.Kind != "postgres":
		return errors.New("outbox: a DSN is for outbox postgres")
	}
	return nil
}

// provisionOutbox expands the settings and opens nothing: `caddy validate` provisions too.
func (a *App) provisionOutbox() error {
	if a.Outbox == nil {
		a.Outbox = new(Outbox)
	}
	var err error
	switch a.Outbox.Kind {
	case "", "sqlite":
		file := DefaultOutboxFile()
		if a.Outbox.File != "" {
			if file, err = directive.Expand("outbox sqlite", a.Outbox.File); err != nil {
				return err
			}
		}
		if a.outboxConfig.SQLite, err = filepath.Abs(file); err != nil {
			return fmt.Errorf("outbox sqlite: %w", err)
		}
	case "postgres":
		if a.dsn, err = newSecret("outbox postgres", a.Outbox.DSN); err != nil {
			return err
		}
		a.outboxConfig.Postgres = a.dsn.value()
	case "off":
	default:
		return fmt.Errorf("outbox: %q is none of sqlite, postgres and off", a.Outbox.Kind)
	}
	if a.outboxKeys, err = newSecrets("outbox_key", a.OutboxKeys); err != nil || a.Outbox.Kind == "off" {
		return err
	}
	if a.outboxKey, err = a.outboxConfig.Name(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	a.followOutbox()
	return nil
}

// DefaultOutboxFile is the SQLite file of a configuration that names none.
func DefaultOutboxFile() string { return filepath.Join(caddy.AppDataDir(), "mailchimp", "outbox.db") }

// startOutbox opens the outbox, or takes it over from the configuration before, and begins to deliver. Caddy starts and
// stops the apps of all configurations under one lock.
func (a *App) startOutbox() error {
	if before := Running(); before != nil {
		if err := a.leavesBehind(before); err != nil {
			return err
		}
	}
	if a.outboxKey != "" {
		pooled, loaded, err := outboxPool.LoadOrNew(a.outboxKey, func() (caddy.Destructor, error) {
			opened, err := a.openOutbox()
			return opened, err
		})
		if err != nil {
			return err
		}
		a.pooled = pooled.(*pooledOutbox)
		a.outbox = a.pooled.Outbox
		if err = a.pooled.takeOver(a, loaded); err == nil {
			err = a.outbox.Start(a.ctx)
		}
		if err != nil {
			return err // Cleanup gives it up
		}
	}
	a.rememberOutbox()
	close(a.opened)
	return nil
}

func (a *App) openOutbox() (*pooledOutbox, error) {
	if file := a.outboxConfig.SQLite; file != "" {
		if err := makeFolder(filepath.Dir(file)); err != nil {
			return nil, fmt.Errorf("making the outbox's folder: %w", err)
		}
	}
	config := a.outboxConfig
	config.Logger = a.slogger
	opened, err := outbox.Open(a.ctx, config, a.outboxSettings())
	if err != nil {
		return nil, err
	}
	return &pooledOutbox{Outbox: opened}, nil
}

// leavesBehind refuses to leave an outbox with entries that nobody would deliver.
func (a *App) leavesBehind(before *App) error {
	if before.outbox == nil || before.outboxKey == a.outboxKey {
		return nil
	}
	n, err := before.outbox.Left(a.ctx)
	switch {
	case err != nil:
		return fmt.Errorf("outbox: the present one can't say how many undelivered entries "+
			"this configuration would leave behind: %w", err)
	case n > 0:
		return fmt.Errorf("outbox: the present one has %d undelivered entries, which this configuration would leave behind: "+
			"wait until they are delivered, discard them, or stop Caddy and move them "+
			"with caddy mailchimp outbox move; then load it again", n)
	}
	return nil
}

// stopOutbox gives the outbox back to the running configuration if this one was started and its load failed then. If
// this one was replaced, the outbox already has the settings of the new one.
func (a *App) stopOutbox() error {
	running := Running()
	if running == nil || running == a || a.pooled == nil || running.pooled != a.pooled {
		return nil
	}
	return a.pooled.giveBack(a, running)
}

// releaseOutbox gives up what startOutbox took. It comes after the servers have stopped.
func (a *App) releaseOutbox() error {
	if a.outbox == nil {
		return nil
	}
	_, err := outboxPool.Delete(a.outboxKey)
	return err
}

func (a *App) outboxSettings() outbox.Settings {
	return outbox.Settings{
		Senders: a.Senders(), Accounts: a.accountNames(), Logger: a.slogger,
		Deliverer: deliverer{a}, Notify: a.onOutboxEvent,
		UncertainWait: uncertainWait, LookUpWait: lookUpWait, RetryWait: retryWait,
		Workers: a.Workers, RetryFor: time.Duration(a.RetryFor), Keep: time.Duration(a.Keep),
		MaxPending: a.MaxPending, KeepContent: a.KeepContent,
		Keys: valuesOf(a.outboxKeys), Postgres: a.dsn.value(),
	}
}

// uncertainWait, lookUpWait and retryWait replace the outbox's own in tests.
var uncertainWait, lookUpWait, retryWait time.Duration

var errOutboxOff = errors.New(
	"delivery queued needs the outbox, which is off: write delivery sync, or remove outbox off")

// putTimeout bounds the wait for a commit.
const putTimeout = 5 * time.Second

// put stores an entry. Apps start in any order: a hook that comes before Start has ended waits for it.
func (a *App) put(ctx context.Context, entry outbox.New) (outbox.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	if err := a.awaitOutbox(ctx); err != nil {
		return outbox.Receipt{}, err
	}
	return a.outbox.Put(ctx, entry)
}

// awaitOutbox returns as soon as the outbox is open, else outbox.ErrUnavailable after putTimeout.
func (a *App) awaitOutbox(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	select {
	case <-a.opened:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: it is not open", outbox.ErrUnavailable)
	}
}

// noteEvents stores events with their entries. It waits for the outbox as put does.
func (a *App) noteEvents(ctx context.Context, heard []outbox.Heard) ([]outbox.Noted, error) {
	if err := a.awaitOutbox(ctx); err != nil {
		return nil, err
	}
	return a.outbox.Note(ctx, heard)
}

// ownsMail reports whether mails of an outbox are those of this one, which may not be open yet.
func (a *App) ownsMail(id string) bool {
	select {
	case <-a.opened:
	default:
		return true
	}
	if a.outbox == nil {
		return false
	}
	took, err := a.outbox.Took(id)
	return err != nil || took
}

// name returns the ID of an entry that is about to be put, and that of the outbox. It waits for the outbox as put does.
func (a *App) name(ctx context.Context) (entry, box string, err error) {
	if err := a.awaitOutbox(ctx); err != nil {
		return "", "", err
	}
	box, err = a.outbox.ID()
	return a.outbox.NewID(), box, err
}

// keepFor returns how long an ended entry, and a key, is known.
func (a *App) keepFor() time.Duration { return cmp.Or(time.Duration(a.Keep), rememberKey) }
