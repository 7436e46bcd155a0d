package outbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// openTimeout is how long Open waits for PostgreSQL, and migrateTimeout for a file that may be large.
	openTimeout    = 5 * time.Second
	migrateTimeout = 5 * time.Minute
)

// ErrNotFound means that there is no such entry, or that it is not in a state for what is asked.
var ErrNotFound = errors.New("there is no such entry in a state for this")

// An Outbox is the queue. It may be used by several goroutines at once.
type Outbox struct {
	config Config
	// process names this process in leases and counts.
	process  string
	ids      ids
	settings atomic.Pointer[Settings]
	vault    atomic.Pointer[vault]
	// store is nil until the database was reached.
	store   atomic.Pointer[store]
	pending atomic.Int64
	summary atomic.Pointer[Summary]
	tally   tally
	// failure is why the database could not be reached, troubles what fails although it was.
	failure  atomic.Pointer[error]
	troubles troubles

	// life serialises Start, Configure, Stop and Close.
	life sync.Mutex
	// stop ends the delivery. It is nil before Start and after Stop.
	stop context.CancelFunc
	// cut ends the calls of workers that Stop has no more patience for.
	cut context.CancelFunc
	// dispatching and working are what Stop waits for.
	dispatching, working sync.WaitGroup
	wakes                chan struct{}

	mu       sync.Mutex
	accounts map[string]*account
	holds    holds
	// readingHolds has one goroutine read holds at a time.
	readingHolds sync.Mutex
	// unanswered are the owners of claims that may have been committed although they failed. The dispatcher has them.
	unanswered []string
	// strays is set if entries may be claimed by this process that no worker has. The dispatcher has it.
	strays bool
	// inHand are the entries that this process is sending or looking up.
	inHand map[string]bool
	// loading is what workers may hold of large contents.
	loading *semaphore.Weighted
	// failing are the senders whose last attempts failed.
	failing map[string]Failing
	// refusals are the last answers of senders.
	refusals map[string]refusals

	// closing ends the goroutines that live as long as the Outbox.
	closing context.CancelFunc
	closed  context.Context
	done    sync.WaitGroup
}

// Open opens the outbox. A SQLite file that is damaged, in use or of an earlier version is an error, and so is a wrong
// outbox_key. A full disk or a database that cannot be reached is not: Put fails until it is there.
func Open(ctx context.Context, c Config, s Settings) (*Outbox, error) {
	o := &Outbox{
		config: c, process: hex.EncodeToString(randomBytes(4)), wakes: make(chan struct{}, 1),
		accounts: make(map[string]*account), failing: make(map[string]Failing),
		refusals: make(map[string]refusals), inHand: make(map[string]bool),
		loading: semaphore.NewWeighted(maxLoaded),
	}
	if c.Postgres != "" {
		if err := database.CheckDSN(c.Postgres); err != nil {
			return nil, fmt.Errorf("opening the outbox: %w", err)
		}
	}
	o.holds.released = make(map[holdName]time.Time)
	o.closed, o.closing = context.WithCancel(context.Background())
	o.settings.Store(s.withDefaults())
	patience := migrateTimeout
	if c.Postgres != "" {
		patience = openTimeout
	}
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := o.reach(patient); err != nil {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, database.ErrDamaged) {
			o.closing()
			return nil, fmt.Errorf("opening the outbox: %w", err)
		}
		o.troubles.set(o, reaching, err)
	}
	o.done.Go(o.maintain)
	return o, nil
}

// reaching is what is in trouble while the database cannot be opened.
const reaching = "opening the outbox"

// reach opens the database, takes over what this process's predecessor was sending, and starts what Start could not.
func (o *Outbox) reach(ctx context.Context) error {
	settings := o.settings.Load()
	wrapping, err := newWrappingKeys(settings.Keys)
	if err != nil {
		return err
	}
	c := o.config
	if settings.Postgres != "" {
		c.Postgres = settings.Postgres
	}
	s, v, err := openStore(ctx, c, wrapping)
	if err != nil {
		o.failure.Store(&err)
		return err
	}
	o.vault.Store(v)
	if err := o.load(ctx, s); err != nil {
		err = errors.Join(err, s.Close())
		o.failure.Store(&err)
		return unavailable(err)
	}
	o.store.Store(s)
	o.failure.Store(nil)
	return nil
}

func (o *Outbox) load(ctx context.Context, s *store) error {
	if !s.dialect.Postgres {
		if err := o.takeUpStrays(ctx, s); err != nil {
			return err
		}
	}
	if err := o.count(ctx, s); err != nil {
		return err
	}
	return o.readHolds(ctx, s)
}

// opened returns the database. The error says that it has not been reached yet.
func (o *Outbox) opened() (*store, error) {
	if s := o.store.Load(); s != nil {
		return s, nil
	}
	if failure := o.failure.Load(); failure != nil {
		return nil, unavailable(*failure)
	}
	return nil, fmt.Errorf("%w: the database has not been reached yet", ErrUnavailable)
}

func (o *Outbox) logger() *slog.Logger {
	switch s := o.settings.Load(); {
	case s.Logger != nil:
		return s.Logger
	case o.config.Logger != nil:
		return o.config.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// now is the time by the database's clock.
func (o *Outbox) now() time.Time {
	if s := o.store.Load(); s != nil {
		return s.Now()
	}
	return time.Now()
}

// NewID returns an ID for an entry that is about to be put.
func (o *Outbox) NewID() string { return o.ids.next(o.now()) }

// ID returns the ID of this outbox, which other outboxes of the same account do not have. The error is ErrUnavailable
// until the database was reached.
func (o *Outbox) ID() (string, error) {
	s, err := o.opened()
	if err != nil {
		return "", err
	}
	return s.id, nil
}

// Took reports whether an ID is this outbox's, or that of one whose entries were moved here. The error is
// ErrUnavailable until the database was reached.
func (o *Outbox) Took(id string) (bool, error) {
	s, err := o.opened()
	if err != nil {
		return false, err
	}
	return slices.Contains(s.took, id), nil
}

// Configure changes the settings, at work or not. If it returns an error, nothing was changed.
func (o *Outbox) Configure(ctx context.Context, s Settings) error {
	o.life.Lock()
	defer o.life.Unlock()
	wrapping, err := newWrappingKeys(s.Keys)
	if err != nil {
		return err
	}
	if s.Postgres != "" {
		if err := database.CheckDSN(s.Postgres); err != nil {
			return err
		}
	}
	if opened := o.store.Load(); opened != nil {
		if err := o.reconfigure(ctx, opened, wrapping, s); err != nil {
			return err
		}
	}
	o.settings.Store(s.withDefaults())
	o.wake()
	return nil
}

func (o *Outbox) reconfigure(ctx context.Context, opened *store, wrapping *wrappingKeys, s Settings) error {
	if !slices.Equal(o.settings.Load().Keys, s.Keys) {
		if err := o.rereadKeys(ctx, opened, wrapping); err != nil {
			return fmt.Errorf("changing outbox_key: %w", err)
		}
	}
	if postgres, is := opened.DB.(*database.Postgres); is && s.Postgres != "" {
		if err := postgres.Login(s.Postgres); err != nil {
			return err
		}
	}
	// What held an account may be fixed by the new settings.
	if err := o.probeNow(ctx, opened); err != nil {
		o.logger().Error("probing holds after a reload", "error", err)
	}
	return nil
}

// rereadKeys reads the outbox's own keys again, into a copy of the store: hooks use the other one meanwhile.
func (o *Outbox) rereadKeys(ctx context.Context, s *store, wrapping *wrappingKeys) error {
	fresh := &store{DB: s.DB, dialect: s.dialect}
	v, err := fresh.readKeys(ctx, wrapping)
	if err != nil {
		return err
	}
	o.vault.Store(v)
	o.store.Store(fresh)
	return nil
}

// wake has the dispatcher look for work.
func (o *Outbox) wake() {
	select {
	case o.wakes <- struct{}{}:
	default:
	}
}

func (o *Outbox) notify(name string, entry Entry, reason string, delay time.Duration) {
	o.settings.Load().Notify(Event{Name: name, Entry: entry, Reason: reason, Delay: delay})
}
