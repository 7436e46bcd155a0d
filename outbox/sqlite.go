package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
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
	db := sql.OpenDB(connector{(&url.URL{Scheme: "file", Opaque: file, RawQuery: settings.Encode()}).String()})
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

// exec runs statements in one transaction. It tells how many rows each of them changed.
func (s *store) execAll(ctx context.Context, all []statement) ([]int64, error) {
	var changed []int64
	err := s.within(ctx, func(inside *store) (err error) {
		changed, err = runAll(ctx, inside.tx, all)
		return err
	})
	return changed, err
}

func runAll(ctx context.Context, tx *sql.Tx, all []statement) ([]int64, error) {
	ctx = context.WithoutCancel(ctx) // one that may end costs a goroutine for each statement
	changed := make([]int64, len(all))
	for i, one := range all {
		result, err := tx.ExecContext(ctx, one.query, one.arguments...)
		if err != nil {
			return nil, err
		}
		if changed[i], err = result.RowsAffected(); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// connector opens SQLite with connections that keep their compiled statements.
type connector struct{ dsn string }

func (connector) Driver() driver.Driver { return new(sqlite.Driver) }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	opened, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	compiled, err := lru.NewWithEvict(maxCompiled, func(_ string, s *compiled) {
		if !s.busy {
			_ = s.Close() // what it says was said by its last use
		}
	})
	if err != nil {
		return nil, err
	}
	return &conn{opened.(sqliteConn), compiled}, nil
}

// sqliteConn is what the driver's connections are.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// conn keeps compiled statements, River's as well: SQLite takes longer to compile an UPDATE of a table with many indexes than to
// run it. It is used by one goroutine at a time.
type conn struct {
	sqliteConn
	compiled *lru.Cache[string, *compiled]
}

const maxCompiled = 64

type compiled struct {
	sqliteStmt
	// busy tells that rows are being read from it.
	busy bool
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// compile returns nil for what is better run without keeping it: what has no arguments may be a script, and what is busy can't be run
// once more.
func (c *conn) compile(ctx context.Context, query string, arguments []driver.NamedValue) (*compiled, error) {
	if len(arguments) == 0 {
		return nil, nil
	}
	if known, ok := c.compiled.Get(query); ok {
		if known.busy {
			return nil, nil
		}
		return known, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &compiled{sqliteStmt: prepared.(sqliteStmt)}
	c.compiled.Add(query, s)
	return s, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	s, err := c.compile(ctx, query, arguments)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.ExecContext(ctx, query, arguments)
	}
	return s.ExecContext(ctx, arguments)
}

func (c *conn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	s, err := c.compile(ctx, query, arguments)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.QueryContext(ctx, query, arguments)
	}
	found, err := s.QueryContext(ctx, arguments)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return rows{found, s}, nil
}

// Close lets go of the statements: the file is closed with the last of them.
func (c *conn) Close() error {
	c.compiled.Purge()
	return c.sqliteConn.Close()
}

type rows struct {
	driver.Rows
	of *compiled
}

func (r rows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}

// along are changes that are committed with an insertion, whose context has them.
type along struct {
	all     []statement
	changed []int64
}

type alongKey struct{}

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

// JobInsertFastMany runs what is to be committed with the jobs, and inserts them one by one. River looks up those whose key is
// known.
func (t sqliteTx) JobInsertFastMany(ctx context.Context, p *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	ctx = context.WithoutCancel(ctx) // as in runAll
	if with, _ := ctx.Value(alongKey{}).(*along); with != nil {
		var err error
		if with.changed, err = runAll(ctx, t.tx, with.all); err != nil {
			return nil, err
		}
	}
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
