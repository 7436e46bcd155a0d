package database

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// committers is how many batches are committed at the same time: one runs while another is collected.
	committers = 2
	// defaultConnections is the size of the pool if pool_max_conns of the DSN says nothing.
	defaultConnections = 8
)

// Postgres is a PostgreSQL database, which several processes may share.
type Postgres struct {
	committer
	pool *pgxpool.Pool
	// login has the user and the password of new connections.
	login atomic.Pointer[pgconn.Config]
	clock atomic.Pointer[reading]

	// A connection of its own listens, if there may be one more.
	wakes     chan struct{}
	listening context.CancelFunc
	listener  sync.WaitGroup
	// hears reports whether a notification has arrived: behind a pooler, none may.
	hears atomic.Bool
}

// reading is the database's time at a moment of the monotonic clock.
type reading struct {
	database time.Time
	at       time.Time
}

// OpenPostgres connects to a database and brings its tables up to date. The error wraps ErrUnavailable unless
// the tables cannot be used: the database may be there later. The DSN must be one that CheckDSN accepts.
func OpenPostgres(ctx context.Context, dsn string) (*Postgres, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db := &Postgres{wakes: make(chan struct{}, 1)}
	db.login.Store(&config.ConnConfig.Config)
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		login := db.login.Load()
		c.User, c.Password = login.User, login.Password
		return nil
	}
	listens := config.MaxConns > 2
	if listens {
		config.MaxConns--
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, errDSN
	}
	if err := db.prepare(ctx); err != nil {
		db.pool.Close()
		if errors.Is(err, ErrOldOutbox) || errors.Is(err, ErrNewOutbox) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, explainPostgres(err))
	}
	db.stored.Store(time.Now().UnixNano())
	db.start(db, committers)
	if listens {
		ctx, cancel := context.WithCancel(context.Background())
		db.listening = cancel
		db.listener.Go(func() { db.listen(ctx, config.ConnConfig) })
	}
	return db, nil
}

// ReadClock reads the database's clock, which all processes go by.
func (db *Postgres) ReadClock(ctx context.Context) error {
	const query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
	return db.Read(ctx, query, nil, func(scan func(...any) error) error {
		var now int64
		if err := scan(&now); err != nil {
			return err
		}
		db.clock.Store(&reading{time.UnixMilli(now), time.Now()})
		return nil
	})
}

// Now implements DB. It carries the last reading forward by the monotonic clock.
func (db *Postgres) Now() time.Time {
	last := db.clock.Load()
	return last.database.Add(time.Since(last.at))
}

// Login has new connections use the credentials of a DSN.
func (db *Postgres) Login(dsn string) error {
	config, err := parseDSN(dsn)
	if err == nil {
		db.login.Store(&config.ConnConfig.Config)
	}
	return err
}

// execute implements executor. A batch is one transaction, sent at once.
func (db *Postgres) execute(writes []*Write) error {
	err := db.send(writes)
	for range maxBroken {
		if !isBroken(err) {
			break
		}
		// What was committed all the same is recognised by the statements themselves.
		db.pool.Reset() // the other connections have ended too, as a rule
		err = db.send(writes)
	}
	for n := range maxConflicts {
		if !isOfOrder(err) {
			break
		}
		time.Sleep(rand.N(time.Duration(n+1) * 2 * time.Millisecond))
		err = db.send(writes)
	}
	return explainPostgres(err)
}

// isBroken reports whether an error is that of a connection that has ended, so that another one may do better.
func isBroken(err error) bool {
	var row rowError
	if err == nil || errors.As(err, &row) || pgconn.Timeout(err) || errors.Is(err, context.Canceled) {
		return false
	}
	var answer *pgconn.PgError
	// The server restarts, or somebody terminated the session. Class 08 is what a pooler says of it.
	return !errors.As(err, &answer) || strings.HasPrefix(answer.Code, "57P0") || strings.HasPrefix(answer.Code, "08")
}

// maxBroken is how often what a connection was lost for is repeated.
const maxBroken = 2

// maxConflicts is how often a transaction is repeated that met another one.
const maxConflicts = 15

// isOfOrder reports whether a transaction was ended for the sake of another one (class 40): a deadlock, or, where
// the operator has chosen so, what cannot be serialised.
func isOfOrder(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && strings.HasPrefix(answer.Code, "40")
}

func (db *Postgres) send(writes []*Write) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	batch := new(pgx.Batch)
	for _, w := range writes {
		w.begin()
		for _, s := range w.Statements {
			batch.Queue(s.SQL, s.Args...)
		}
	}
	results := db.pool.SendBatch(ctx, batch)
	defer results.Close() // after a panic too, else the pool has a connection less; it may be closed twice
	for _, w := range writes {
		for _, s := range w.Statements {
			if err := receive(results, s); err != nil {
				return err
			}
		}
	}
	return results.Close()
}

func receive(results pgx.BatchResults, s *Statement) error {
	if s.Row == nil {
		tag, err := results.Exec()
		s.Changed = tag.RowsAffected()
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	s.Changed, err = readRows(rows, s.Row)
	return err
}

// isOfWrite implements executor: class 22 is data that cannot be stored, 23 a constraint, 54 a limit.
func (*Postgres) isOfWrite(err error) bool {
	var failure *pgconn.PgError
	ofClass := func(class string) bool { return strings.HasPrefix(failure.Code, class) }
	return errors.As(err, &failure) && slices.ContainsFunc([]string{"22", "23", "54"}, ofClass)
}

// isConflict implements executor.
func (*Postgres) isConflict(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.Code == "23505"
}

// check implements executor.
func (*Postgres) check() error { return nil }

// Read implements DB.
func (db *Postgres) Read(ctx context.Context, query string, args []any, row Row) error {
	clean(args)
	ctx, cancel := withGrace(ctx)
	defer cancel()
	began := false
	once := func(scan func(...any) error) error {
		began = true
		return row(scan)
	}
	err := db.readAll(ctx, query, args, once)
	for range maxBroken {
		if !isBroken(err) || began {
			break
		}
		db.pool.Reset()
		err = db.readAll(ctx, query, args, once)
	}
	return explainPostgres(err)
}

// grace is how long a query may go on whose context has ended. Most end within milliseconds. pgx sends a request to
// cancel the others, and PgBouncer 1.18 can crash on one.
const grace = time.Second

func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*Patience)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return lasting, func() {
		stop()
		cancel()
	}
}

func (db *Postgres) readAll(ctx context.Context, query string, args []any, row Row) error {
	rows, err := db.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	_, err = readRows(rows, row)
	return err
}

// Maintain implements DB.
func (db *Postgres) Maintain(ctx context.Context, statement string) error {
	_, err := db.pool.Exec(ctx, statement)
	return err
}

// Dialect implements DB.
func (*Postgres) Dialect() Dialect {
	return Dialect{
		Postgres: true, PickedBegin: "id = ANY(ARRAY(", PickedEnd: " FOR UPDATE SKIP LOCKED))",
		Notify: "SELECT pg_notify('" + channel + "', '')",
	}
}

// Close implements DB.
func (db *Postgres) Close() error {
	if db.listening != nil {
		db.listening()
	}
	db.listener.Wait()
	db.finish()
	db.pool.Close()
	return nil
}
