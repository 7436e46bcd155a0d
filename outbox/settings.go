package outbox

import (
	"log/slog"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Config says where the entries are.
type Config struct {
	// SQLite is a file of this process's own, Postgres the DSN of a database that several processes may
	// share. One of them is given.
	SQLite, Postgres string
	// Logger is used until Settings bring another one. Default: nothing is logged.
	Logger *slog.Logger
}

// Name identifies the database: a SQLite file, or a PostgreSQL database without credentials. The error says
// what is wrong with the DSN.
func (c Config) Name() (string, error) {
	if c.Postgres == "" {
		return "sqlite " + c.SQLite, nil
	}
	name, err := database.Name(c.Postgres)
	return "postgres " + name, err
}

// Settings may change while the outbox is open.
type Settings struct {
	// Senders are those that this process can deliver for.
	Senders []string
	// Accounts names the account of each sender, for example its API key. Senders with the same account share
	// workers and holds. Only a keyed hash of it is stored. Default: each sender has an account of its own.
	Accounts map[string]string
	// Deliverer delivers entries.
	Deliverer Deliverer
	// Workers is how many entries of one account are delivered at once. Default: 32.
	Workers int
	// RetryFor is how long an entry is retried, holds not counted. Default: 48 h.
	RetryFor time.Duration
	// Keep is how long sent, rejected, expired and discarded entries stay listed. Default: 24 h.
	Keep time.Duration
	// MaxPending is how many undelivered entries there may be. Default: 100,000.
	MaxPending int
	// MaxDead is how many dead entries there may be, and how many unrendered ones of one hook. Default: 100,000.
	MaxDead int
	// MaxDeadBytes bounds the content of dead entries, and of unrendered ones of one hook. Default: 1 GB.
	MaxDeadBytes int64
	// Keys seal the content at rest: each is 32 random bytes in base64, as NewKey makes them. The first one writes,
	// all of them read. "none" as the last one lets content be read that was stored without a key. Without keys,
	// content is not sealed.
	Keys []string
	// Postgres may bring other credentials for the database.
	Postgres string
	// KeepContent keeps the content of finished entries that are not private.
	KeepContent bool
	// Notify receives events. It is called by the goroutine that did it, after the commit, and must not block.
	Notify func(Event)
	// Logger logs what goes wrong with the database. Default: that of Config.
	Logger *slog.Logger
	// UncertainWait is the time between an attempt whose outcome is unknown and the search for it. Default: 2 min,
	// and 20 s for an entry that is urgent.
	UncertainWait time.Duration
	// LookUpWait is the time until an entry that the account keeps back is looked up first. Default: 1 min.
	LookUpWait time.Duration
	// RetryWait is the time until a failed attempt is first repeated, and an account on hold first probed. It doubles
	// from there. Default: 1 s.
	RetryWait time.Duration
}

// Event is something that happened to an entry or to a hold.
type Event struct {
	// Name is the state that an entry got into, or "retry", "hold", "release", "interrupted", "sealed" or "lost".
	Name string
	// Entry is the entry, without its content. Its ID is empty if the event is not one of an entry.
	Entry Entry
	// Hold is what began or ended.
	Hold Hold
	// Reason says why.
	Reason string
	// Delay is the time until the next attempt of a retry.
	Delay time.Duration
}

func (s Settings) withDefaults() *Settings {
	if s.Workers == 0 {
		s.Workers = 32
	}
	if s.RetryFor == 0 {
		s.RetryFor = 48 * time.Hour
	}
	if s.Keep == 0 {
		s.Keep = 24 * time.Hour
	}
	if s.MaxPending == 0 {
		s.MaxPending = 100_000
	}
	if s.MaxDead == 0 {
		s.MaxDead = 100_000
	}
	if s.MaxDeadBytes == 0 {
		s.MaxDeadBytes = 1 << 30
	}
	if s.LookUpWait == 0 {
		s.LookUpWait = time.Minute
	}
	if s.RetryWait == 0 {
		s.RetryWait = time.Second
	}
	if s.Notify == nil {
		s.Notify = func(Event) {}
	}
	return &s
}

// uncertainWait returns how long an entry waits after an attempt whose outcome is unknown: Mandrill's search
// finds a message some time after it was accepted.
func (s *Settings) uncertainWait(urgent bool) time.Duration {
	switch {
	case s.UncertainWait != 0:
		return s.UncertainWait
	case urgent:
		return 20 * time.Second
	}
	return 2 * time.Minute
}

// firstProbe returns how long a new hold waits for its first probe.
func (s *Settings) firstProbe(scope Scope) time.Duration {
	if scope == ScopeKey {
		return s.RetryWait
	}
	return firstProbe[scope]
}
