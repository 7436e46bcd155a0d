package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// leaseInterval is how often a worker says that it is still at an entry, and leaseEnd how long another
	// process believes it.
	leaseInterval = 5 * time.Second
	leaseEnd      = 20 * time.Second

	// prepareTimeout is how long Open waits for a database that doesn't answer, and migrateTimeout for a file that may
	// be an old and large one.
	prepareTimeout = 5 * time.Second
	migrateTimeout = 5 * time.Minute

	// attempts don't run out: an entry ends by time.
	riverAttempts = 32_000
)

// Config says where the entries are.
type Config struct {
	// SQLite is a file of this process's own, Postgres the DSN of a database that several processes may
	// share. One of them is given.
	SQLite, Postgres string
	// Logger takes River's own messages. Default: none are logged.
	Logger *slog.Logger
}

// Settings may change while the outbox is open.
type Settings struct {
	// Senders are the accounts that this process can deliver for.
	Senders []string
	// Deliverer delivers entries.
	Deliverer Deliverer
	// Workers is how many entries of one sender are delivered at once. Default: 32.
	Workers int
	// RetryFor is how long an entry is retried, holds not counted. Default: 48 h.
	RetryFor time.Duration
	// Keep is how long sent, rejected, expired and discarded entries stay listed. Default: 24 h.
	Keep time.Duration
	// MaxPending is how many undelivered entries there may be. Default: 100,000.
	MaxPending int
	// MaxDead is how many dead ones, and how many unrendered ones, there may be. Default: 100,000.
	MaxDead int
	// Keys seal the content at rest: the first one writes, all of them read. Without any, it is not sealed.
	Keys []string
	// Postgres may bring other credentials for the database.
	Postgres string
	// KeepContent keeps the content of finished entries that aren't private.
	KeepContent bool
	// Notify hears what happens. It must not block.
	Notify func(Event)
}

// Event is something that happened to an entry or to a sender.
type Event struct {
	// Name is the state that an entry got into, or "retry", "hold", "release", "interrupted" or "lost".
	Name string
	// Entry is the entry, without its content. Its ID is empty where the event is a sender's.
	Entry Entry
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
	if s.Notify == nil {
		s.Notify = func(Event) {}
	}
	return &s
}

// ErrFull says that there are too many undelivered entries.
var ErrFull = errors.New("the outbox has too many undelivered entries")

// ErrUnavailable says that the database can't take an entry now. It comes back by itself.
var ErrUnavailable = errors.New("the outbox can't store")

// ErrNotFound says that there is no such entry, or that it isn't in a state for what is asked.
var ErrNotFound = errors.New("there is no such entry in a state for this")

// An Outbox is the queue. It may be used by several goroutines at once.
type Outbox struct {
	store    *store
	vault    atomic.Pointer[vault]
	settings atomic.Pointer[Settings]
	logger   *slog.Logger

	// ready is set when the database was reached.
	ready   atomic.Bool
	client  *river.Client[*sql.Tx]
	pending atomic.Int64
	summary atomic.Pointer[Summary]
	puts    chan *put
	applies chan *applying

	// life is held where the work begins, changes and ends. River then waits for workers: they never take it.
	life   sync.Mutex
	queues map[string]worked
	// leaving are queues that go as soon as they are idle.
	leaving map[string]bool
	// stop ends running, and is nil before Start and after Stop.
	stop context.CancelFunc
	// started tells that River runs.
	started bool

	mu    sync.Mutex
	gates map[string]*gate
	// working are the entries in workers' hands.
	working map[int64]hand
	// running lasts from Start to Stop.
	running context.Context

	// close ends the goroutines that live as long as the Outbox, until closed.
	close  context.CancelFunc
	closed <-chan struct{}
	done   sync.WaitGroup
}

// Open opens the outbox. A SQLite file that can't be used is an error; a PostgreSQL database that can't be
// reached is not: Put fails until it is there.
func Open(ctx context.Context, c Config, s Settings) (*Outbox, error) {
	o := &Outbox{
		logger: c.Logger, puts: make(chan *put), applies: make(chan *applying), gates: make(map[string]*gate), queues: make(map[string]worked), leaving: make(map[string]bool), working: make(map[int64]hand),
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	err := o.set(s)
	if err != nil {
		return nil, err
	}
	if c.Postgres != "" {
		o.store, err = openPostgres(c.Postgres)
	} else {
		o.store, err = openSQLite(c.SQLite)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the outbox: %w", err)
	}
	if err := o.newClient(); err != nil {
		o.store.db.Close()
		return nil, err
	}
	patience := migrateTimeout
	if o.store.postgres {
		patience = prepareTimeout
	}
	patient, cancelPrepare := context.WithTimeout(ctx, patience)
	defer cancelPrepare()
	err = o.prepare(patient)
	if err != nil && !o.store.postgres {
		o.store.db.Close()
		return nil, fmt.Errorf("opening the outbox %s: %w", c.SQLite, err)
	}
	background, cancel := context.WithCancel(context.Background())
	o.close, o.closed = cancel, background.Done()
	o.done.Go(o.flushPuts)
	o.done.Go(o.flushApplies)
	o.done.Go(func() { o.maintain(background) })
	return o, nil
}

func (o *Outbox) newClient() error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{o: o})
	var err error
	o.client, err = o.store.client(&river.Config{
		Workers: workers,
		Logger:  o.logger,
		// Queues are added when senders are known; River wants one to begin with.
		Queues:            map[string]river.QueueConfig{"none": {MaxWorkers: 1, FetchPollInterval: time.Minute}},
		FetchCooldown:     5 * time.Millisecond,
		FetchPollInterval: 250 * time.Millisecond,
		JobTimeout:        -1,
		MaxAttempts:       riverAttempts,
		// renew and takeUp rescue. River must not: a held entry is in a worker's hands for as long as it takes.
		RescueStuckJobsAfter: 10 * 365 * 24 * time.Hour,
		RetryPolicy:          atOnce{},
		// Entries are forgotten by maintain.
		CancelledJobRetentionPeriod: -1,
		CompletedJobRetentionPeriod: -1,
		DiscardedJobRetentionPeriod: -1,
	})
	return err
}

// atOnce has rescued entries looked at without delay: the worker decides about them.
type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

// prepare reaches the database for the first time.
func (o *Outbox) prepare(ctx context.Context) error {
	if err := o.store.prepare(ctx); err != nil {
		return err
	}
	if err := o.store.takeUp(ctx); err != nil {
		return err
	}
	if err := o.count(ctx); err != nil {
		return err
	}
	if err := o.readPauses(ctx); err != nil {
		return err
	}
	o.ready.Store(true)
	return nil
}

// Configure changes the settings, at work or not.
func (o *Outbox) Configure(ctx context.Context, s Settings) error {
	o.life.Lock()
	defer o.life.Unlock()
	if err := o.set(s); err != nil {
		return err
	}
	if o.store.postgres && s.Postgres != "" {
		if err := o.store.login(s.Postgres); err != nil {
			return err
		}
	}
	o.mu.Lock()
	gates := slices.Collect(maps.Values(o.gates))
	o.mu.Unlock()
	for _, gate := range gates {
		gate.retry()
	}
	if !o.started {
		return nil
	}
	return o.setQueues()
}

func (o *Outbox) set(s Settings) error {
	vault, err := newVault(s.Keys)
	if err != nil {
		return err
	}
	o.vault.Store(vault)
	o.settings.Store(s.withDefaults())
	return nil
}

// Start begins to deliver. It may be called again after Stop.
func (o *Outbox) Start(ctx context.Context) error {
	o.life.Lock()
	defer o.life.Unlock()
	if o.stop != nil {
		return nil
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.stop = stop
	o.mu.Lock()
	o.running = running
	o.mu.Unlock()
	if !o.ready.Load() {
		return nil // maintain starts it when the database is there
	}
	return o.start(ctx)
}

// start runs River. o.life is held.
func (o *Outbox) start(ctx context.Context) error {
	if err := o.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("starting the outbox: %w", err)
	}
	o.started = true
	return o.setQueues()
}

// worked is a queue that this process works.
type worked struct {
	sender  string
	workers int
}

// setQueues works the queues of the senders that are known. o.life is held. A queue that goes, or gets another number of
// workers, does so when nothing of it is being sent: River keeps hooks waiting while it waits for a queue's workers.
func (o *Outbox) setQueues() error {
	wanted := o.wanted()
	for queue, has := range o.queues {
		if wanted[queue] != has && !o.leaving[queue] {
			o.leaving[queue] = true
			o.gate(has.sender).dismiss(true)
			o.done.Go(func() {
				_ = o.guard("changing a sender's workers", func() error { o.leave(queue, has); return nil })
			})
		}
	}
	for queue, wants := range wanted {
		if _, has := o.queues[queue]; has {
			continue
		}
		if err := o.client.Queues().Add(queue, river.QueueConfig{MaxWorkers: wants.workers}); err != nil {
			return fmt.Errorf("adding the sender %s to the outbox: %w", wants.sender, err)
		}
		o.queues[queue] = wants
	}
	return nil
}

func (o *Outbox) wanted() map[string]worked {
	s := o.settings.Load()
	wanted := make(map[string]worked)
	for _, sender := range s.Senders {
		wanted[queueOf(sender)] = worked{sender, s.Workers}
	}
	return wanted
}

// leave ends a queue as soon as it is idle, unless the settings want it again by then.
func (o *Outbox) leave(queue string, has worked) {
	idle := time.NewTicker(20 * time.Millisecond)
	defer idle.Stop()
	for o.busy(queue) {
		select {
		case <-idle.C:
		case <-o.closed:
			return
		}
	}
	o.life.Lock()
	defer o.life.Unlock()
	delete(o.leaving, queue)
	defer o.gate(has.sender).dismiss(false)
	if !o.started || o.wanted()[queue] == has {
		return // the next start sets the queues
	}
	err := o.client.Queues().Remove(context.Background(), queue)
	if err == nil {
		delete(o.queues, queue)
		if _, wants := o.wanted()[queue]; !wants {
			o.gate(has.sender).release() // what held an account that is gone says nothing of the next
		}
		err = o.setQueues()
	}
	if err != nil {
		o.logger.Error("changing a sender's workers", "sender", has.sender, "error", err)
	}
}

// hand is a worker's: an attempt of an entry of a queue.
type hand struct {
	queue   string
	attempt int
}

// busy tells whether something of a queue is in a worker's hands.
func (o *Outbox) busy(queue string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, hand := range o.working {
		if hand.queue == queue {
			return true
		}
	}
	return false
}

// Stop ends the delivering: what is being sent may end until the context does. Put goes on to store. It may
// be called twice, or before Start.
func (o *Outbox) Stop(ctx context.Context) error {
	o.life.Lock()
	defer o.life.Unlock()
	stop, started := o.stop, o.started
	o.stop, o.started = nil, false
	if stop == nil {
		return nil
	}
	stop()
	if !started {
		return nil
	}
	if err := o.client.Stop(ctx); err == nil {
		return nil
	}
	// Out of patience: calls are cut off, and their entries are uncertain.
	cut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return o.client.StopAndCancel(cut)
}

// Close stops and gives up the database.
func (o *Outbox) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := o.Stop(ctx)
	o.close()
	o.done.Wait()
	return errors.Join(err, o.store.db.Close())
}

func (o *Outbox) gate(sender string) *gate {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, ok := o.gates[sender]
	if !ok {
		g = newGate()
		o.gates[sender] = g
	}
	return g
}
