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
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
	"modernc.org/sqlite"
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
	opener, err := sqlite.NewConnector((&url.URL{Scheme: "file", Opaque: file, RawQuery: settings.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{opener})
	db.SetMaxOpenConns(1)
	// The first write takes the lock.
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS outbox_setting (name text PRIMARY KEY, value text NOT NULL)"); err != nil {
		db.Close()
		if strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "SQLITE_BUSY") {
			return nil, errors.New("another process has it open: one outbox file belongs to one Caddy. Several share an outbox postgres")
		}
		return nil, err
	}
	return &store{db: db, driver: endingDriver{sqliteDriver{riversqlite.New(db), db}}}, nil
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

// sqliteDriver has River wake its workers within the process after an insert: its listening on SQLite is a table that is
// polled. It inserts by a prepared statement, where River encodes and decodes each row twice.
type sqliteDriver struct {
	*riversqlite.Driver
	db *sql.DB
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
	tx, err := e.driver.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return sqliteTx{e.driver.UnwrapExecutor(tx), tx}, nil
}

type sqliteTx struct {
	riverdriver.ExecutorTx
	tx *sql.Tx
}

const insertJob = "INSERT INTO river_job (args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags, unique_key, unique_states) " +
	"VALUES (jsonb(?), ?, ?, ?, jsonb(?), ?, ?, ?, ?, jsonb(?), ?, ?) ON CONFLICT DO NOTHING"

// JobInsertFastMany inserts jobs one by one. River looks up those whose key is known.
func (t sqliteTx) JobInsertFastMany(ctx context.Context, p *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	ctx = context.WithoutCancel(ctx)             // one that may end costs a goroutine for each statement
	now := time.Now().Truncate(time.Millisecond) // rounded up, it would be due later than now
	results := make([]*riverdriver.JobInsertFastResult, len(p.Jobs))
	for i, job := range p.Jobs {
		row, err := t.insertOne(ctx, job, now)
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
func (t sqliteTx) insertOne(ctx context.Context, job *riverdriver.JobInsertFastParams, now time.Time) (*rivertype.JobRow, error) {
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
	result, err := t.tx.ExecContext(ctx, insertJob, string(row.EncodedArgs), sqliteTime(now), row.Kind, row.MaxAttempts,
		string(row.Metadata), row.Priority, row.Queue, sqliteTime(row.ScheduledAt), string(row.State), string(tags), row.UniqueKey, int64(job.UniqueStates))
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	row.ID, err = result.LastInsertId()
	if row.State != rivertype.JobStateAvailable {
		row.Queue = "" // River has the queue of each row searched for work, due or not
	}
	return row, err
}
