// Package bare is River with nothing around it, to compare with: it inserts jobs, committing together what waits,
// as the outbox does.
package bare

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"
)

type job struct {
	Content []byte `json:"content"`
}

func (job) Kind() string { return "job" }

type insertion struct {
	job   job
	reply chan error
}

// Queue takes jobs.
type Queue struct {
	db      *sql.DB
	waiting chan insertion
	stop    context.CancelFunc
	done    chan struct{}
}

// SQLite opens a queue in a file, as durable as the outbox.
func SQLite(ctx context.Context, file string) (*Queue, error) {
	db, err := sql.Open("sqlite", "file:"+file+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return open(ctx, db, riversqlite.New(db))
}

// Postgres opens a queue in a schema of its own: the outbox's table has more indexes.
func Postgres(ctx context.Context, dsn string) (*Queue, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["search_path"] = "bare"
	db := stdlib.OpenDB(*config)
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS bare"); err != nil {
		return nil, err
	}
	return open(ctx, db, riverdatabasesql.New(db))
}

func open(ctx context.Context, db *sql.DB, driver riverdriver.Driver[*sql.Tx]) (*Queue, error) {
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	client, err := river.NewClient(driver, &river.Config{})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	q := &Queue{db, make(chan insertion), stop, make(chan struct{})}
	go func() {
		defer close(q.done)
		for running.Err() == nil {
			q.commit(running, client)
		}
	}()
	return q, nil
}

func (q *Queue) commit(ctx context.Context, client *river.Client[*sql.Tx]) {
	var batch []insertion
	select {
	case one := <-q.waiting:
		batch = append(batch, one)
	case <-ctx.Done():
		return
	}
	for more := true; more && len(batch) < 128; {
		select {
		case one := <-q.waiting:
			batch = append(batch, one)
		default:
			more = false
		}
	}
	params := make([]river.InsertManyParams, len(batch))
	for i, one := range batch {
		params[i].Args = one.job
	}
	_, err := client.InsertMany(context.WithoutCancel(ctx), params)
	for _, one := range batch {
		one.reply <- err
	}
}

// Insert returns when the job is durable.
func (q *Queue) Insert(content []byte) error {
	one := insertion{job{content}, make(chan error, 1)}
	q.waiting <- one
	return <-one.reply
}

// Close gives up the database.
func (q *Queue) Close() error {
	q.stop()
	<-q.done
	return q.db.Close()
}
