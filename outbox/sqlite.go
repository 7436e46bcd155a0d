package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
)

func openSQLite(file string) (*store, error) {
	created, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := created.Close(); err != nil {
		return nil, err
	}
	settings := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(1000)",
		// Another process that opens the file is refused, for as long as this one lives.
		"locking_mode(EXCLUSIVE)",
		"journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: file, RawQuery: settings.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	// The first write takes the lock.
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS outbox_setting (name text PRIMARY KEY, value text NOT NULL)"); err != nil {
		db.Close()
		if strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "SQLITE_BUSY") {
			return nil, errors.New("another process has it open: one outbox file belongs to one Caddy. Several share an outbox postgres")
		}
		return nil, err
	}
	s := &store{db: db}
	s.prepared = &statements{store: s}
	s.driver = endingDriver{sqliteDriver{riversqlite.New(db), s.prepared}}
	return s, nil
}

// takeUp gives back what a killed process left behind. It is for SQLite alone, whose file belongs to
// this process: there is no other that could be at work.
func (s *store) takeUp(ctx context.Context) error {
	if s.postgres {
		return nil
	}
	if _, err := s.exec(ctx, "DELETE FROM river_leader"); err != nil {
		return err
	}
	_, err := s.exec(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running'")
	return err
}

// sqliteTime is River's format of times: others are stored well and compared wrongly.
func sqliteTime(t time.Time) string {
	return t.UTC().Round(time.Millisecond).Format("2006-01-02 15:04:05.000")
}

// statements are prepared once: SQLite takes longer to compile an UPDATE of a table with many indexes than to run it.
type statements struct {
	store *store
	// known has a *sql.Stmt for each text.
	known sync.Map
}

// get returns a statement in the dialect of store.query. Where it is new, that takes the connection: who has a transaction would wait
// for itself.
func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	if known, ok := s.known.Load(query); ok {
		return known.(*sql.Stmt), nil
	}
	prepared, err := s.store.db.PrepareContext(ctx, s.store.query(query))
	if err != nil {
		return nil, err
	}
	if known, ok := s.known.LoadOrStore(query, prepared); ok {
		prepared.Close()
		return known.(*sql.Stmt), nil
	}
	return prepared, nil
}

// batch readies statements for a transaction, which is not to begin before.
func (s *statements) batch(ctx context.Context, all []statement) (*batch, error) {
	b := &batch{all: all, prepared: make([]*sql.Stmt, len(all)), changed: make([]int64, len(all))}
	for i, one := range all {
		var err error
		if b.prepared[i], err = s.get(ctx, one.query); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// batch are statements of one transaction, and how many rows each of them has changed.
type batch struct {
	all      []statement
	prepared []*sql.Stmt
	changed  []int64
}

func (b *batch) run(ctx context.Context, tx *sql.Tx) error {
	ctx = context.WithoutCancel(ctx) // one that may end costs a goroutine for each statement
	for i, one := range b.all {
		result, err := tx.StmtContext(ctx, b.prepared[i]).ExecContext(ctx, one.arguments...)
		if err != nil {
			return err
		}
		if b.changed[i], err = result.RowsAffected(); err != nil {
			return err
		}
	}
	return nil
}

// exec runs statements in one transaction. It tells how many rows each of them changed.
func (s *statements) exec(ctx context.Context, all []statement) ([]int64, error) {
	b, err := s.batch(ctx, all)
	if err != nil {
		return nil, err
	}
	tx, err := s.store.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := b.run(ctx, tx); err != nil {
		_ = tx.Rollback() // the first error counts
		return nil, err
	}
	return b.changed, tx.Commit()
}

// batchKey is the context's of an insertion, for a batch that is committed with it.
type batchKey struct{}

// sqliteDriver has River wake its workers within the process after an insert: its listening on SQLite is a table that is
// polled. It inserts by a prepared statement, where River encodes and decodes each row twice.
type sqliteDriver struct {
	*riversqlite.Driver
	prepared *statements
}

func (sqliteDriver) SupportsListener() bool     { return false }
func (sqliteDriver) SupportsListenNotify() bool { return false }

func (d sqliteDriver) GetExecutor() riverdriver.Executor {
	return sqliteExecutor{d.Driver.GetExecutor(), d}
}

type sqliteExecutor struct {
	riverdriver.Executor
	driver sqliteDriver
}

// Begin begins what River inserts within.
func (e sqliteExecutor) Begin(ctx context.Context) (riverdriver.ExecutorTx, error) {
	tx, err := e.driver.prepared.store.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return sqliteTx{e.driver.UnwrapExecutor(tx), tx, e.driver.prepared}, nil
}

type sqliteTx struct {
	riverdriver.ExecutorTx
	tx       *sql.Tx
	prepared *statements
}

const insertJob = "INSERT INTO river_job (args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags, unique_key, unique_states) " +
	"VALUES (json($1), $2, $3, $4, json($5), $6, $7, $8, $9, json($10), $11, $12) ON CONFLICT DO NOTHING"

// JobInsertFastMany runs what is to be committed with the jobs, and inserts them one by one. River looks up those whose key is
// known.
func (t sqliteTx) JobInsertFastMany(ctx context.Context, p *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	if b, _ := ctx.Value(batchKey{}).(*batch); b != nil {
		if err := b.run(ctx, t.tx); err != nil {
			return nil, err
		}
	}
	insert, err := t.prepared.get(ctx, insertJob) // store.prepare has had it prepared
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // as in batch.run
	insert = t.tx.StmtContext(ctx, insert)
	now := time.Now().Truncate(time.Millisecond) // rounded up, it would be due later than now
	results := make([]*riverdriver.JobInsertFastResult, len(p.Jobs))
	for i, job := range p.Jobs {
		row, err := insertOne(ctx, insert, job, now)
		if err != nil {
			return nil, err
		}
		if row != nil {
			results[i] = &riverdriver.JobInsertFastResult{Job: row}
			continue
		}
		known, err := t.ExecutorTx.JobInsertFastMany(ctx, &riverdriver.JobInsertFastManyParams{Jobs: []*riverdriver.JobInsertFastParams{job}, Schema: p.Schema})
		if err != nil {
			return nil, err
		}
		results[i] = known[0]
	}
	return results, nil
}

// insertOne returns nil where there is a job with the key.
func insertOne(ctx context.Context, insert *sql.Stmt, job *riverdriver.JobInsertFastParams, now time.Time) (*rivertype.JobRow, error) {
	row := &rivertype.JobRow{
		CreatedAt: now, EncodedArgs: job.EncodedArgs, Kind: job.Kind, MaxAttempts: job.MaxAttempts, Metadata: job.Metadata, Priority: job.Priority,
		Queue: job.Queue, ScheduledAt: now, State: job.State, Tags: job.Tags, UniqueKey: job.UniqueKey,
	}
	if job.ScheduledAt != nil {
		row.ScheduledAt = *job.ScheduledAt
	}
	tags, err := json.Marshal(row.Tags)
	if err != nil {
		return nil, fmt.Errorf("encoding tags: %w", err)
	}
	result, err := insert.ExecContext(ctx, string(row.EncodedArgs), sqliteTime(now), row.Kind, row.MaxAttempts,
		string(row.Metadata), row.Priority, row.Queue, sqliteTime(row.ScheduledAt), string(row.State), string(tags), row.UniqueKey, int64(job.UniqueStates))
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	row.ID, err = result.LastInsertId()
	return row, err
}
