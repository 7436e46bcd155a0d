package outbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// store is the database, with what differs between the two kinds of it.
type store struct {
	db       *sql.DB
	postgres bool
	driver   riverdriver.Driver[*sql.Tx]
	// dsn has the credentials for new connections to PostgreSQL.
	dsn *atomic.Pointer[pgx.ConnConfig]
	// hashKey keys the hashes of recipients. It is made once, and kept in the database.
	hashKey []byte
	// tx, where it isn't nil, is the transaction that statements run in.
	tx *sql.Tx
}

// querier runs statements: a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

func (s *store) run() querier {
	if s.tx != nil {
		return s.tx
	}
	return s.db
}

// within runs what the function does in one transaction.
func (s *store) within(ctx context.Context, do func(s *store) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit, and after a crash too
	inside := *s
	inside.tx = tx
	if err := do(&inside); err != nil {
		return err
	}
	return tx.Commit()
}

// endingDriver keeps River from completing what a worker returns from: the worker has written down by then what became of
// the entry, or the entry isn't its any more. River would look at each row once more for nothing, or end another's attempt.
type endingDriver struct{ riverdriver.Driver[*sql.Tx] }

// GetExecutor returns what River's completer writes with.
func (d endingDriver) GetExecutor() riverdriver.Executor {
	return endingExecutor{d.Driver.GetExecutor()}
}

type endingExecutor struct{ riverdriver.Executor }

// JobSetStateIfRunningMany leaves out what is to be completed.
func (e endingExecutor) JobSetStateIfRunningMany(ctx context.Context, p *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	kept := &riverdriver.JobSetStateIfRunningManyParams{Now: p.Now, Schema: p.Schema}
	for i, state := range p.State {
		if state == rivertype.JobStateCompleted {
			continue
		}
		kept.ID = append(kept.ID, p.ID[i])
		kept.Attempt = append(kept.Attempt, p.Attempt[i])
		kept.ErrData = append(kept.ErrData, p.ErrData[i])
		kept.FinalizedAt = append(kept.FinalizedAt, p.FinalizedAt[i])
		kept.MetadataDoMerge = append(kept.MetadataDoMerge, p.MetadataDoMerge[i])
		kept.MetadataUpdates = append(kept.MetadataUpdates, p.MetadataUpdates[i])
		kept.ScheduledAt = append(kept.ScheduledAt, p.ScheduledAt[i])
		kept.State = append(kept.State, state)
	}
	if len(kept.ID) == 0 {
		return nil, nil
	}
	return e.Executor.JobSetStateIfRunningMany(ctx, kept)
}

func openPostgres(dsn string) (*store, error) {
	s := &store{postgres: true, dsn: new(atomic.Pointer[pgx.ConnConfig])}
	if err := s.login(dsn); err != nil {
		return nil, err
	}
	s.db = stdlib.OpenDB(*s.dsn.Load(), stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
		latest := s.dsn.Load()
		c.User, c.Password = latest.User, latest.Password
		return nil
	}))
	s.db.SetMaxOpenConns(16)
	s.db.SetMaxIdleConns(16)
	s.driver = endingDriver{riverdatabasesql.New(s.db)}
	return s, nil
}

// errDSN doesn't say what the parser says, which may repeat the DSN and so its password.
var errDSN = errors.New("the DSN can't be parsed: it is a URL such as postgres://user:password@host/database, or words such as host=… dbname=…")

// login has new connections use the credentials of a DSN.
func (s *store) login(dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return errDSN
	}
	s.dsn.Store(config)
	return nil
}

// Name tells databases apart: it is a SQLite file, or a PostgreSQL database without credentials. The error says that the
// DSN can't be parsed.
func (c Config) Name() (string, error) {
	if c.Postgres == "" {
		return "sqlite " + c.SQLite, nil
	}
	config, err := pgx.ParseConfig(c.Postgres)
	if err != nil {
		return "", errDSN
	}
	hosts := fmt.Sprintf("%s:%d", config.Host, config.Port)
	for _, other := range config.Fallbacks {
		if host := fmt.Sprintf("%s:%d", other.Host, other.Port); !strings.Contains(hosts, host) {
			hosts += "," + host
		}
	}
	return fmt.Sprintf("postgres %s/%s %s", hosts, config.Database, config.RuntimeParams["search_path"]), nil
}

// prepare makes the tables and reads what is kept in them.
func (s *store) prepare(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS outbox_setting (name text PRIMARY KEY, value text NOT NULL)"); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(s.driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	// River's migrations may make the table anew, without these.
	for _, index := range indexes(s.postgres) {
		if _, err := s.db.ExecContext(ctx, s.query(index)); err != nil {
			return err
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if _, err := s.exec(ctx, "INSERT INTO outbox_setting (name, value) VALUES ('hash_key', $1) ON CONFLICT (name) DO NOTHING", hex.EncodeToString(key)); err != nil {
		return err
	}
	var value string
	if err := s.db.QueryRowContext(ctx, "SELECT value FROM outbox_setting WHERE name = 'hash_key'").Scan(&value); err != nil {
		return err
	}
	s.hashKey, err = hex.DecodeString(value)
	return err
}

// dialects are how the two databases write what differs between them. $1 is ?1 on SQLite.
var dialects = map[bool][]struct {
	pattern *regexp.Regexp
	sql     string
}{
	true: {
		{regexp.MustCompile(`json\((\$\d+)\)`), "$1::jsonb"},
		{regexp.MustCompile(`state\((\$\d+)\)`), "$1::river_job_state"},
		{regexp.MustCompile(`text\((\w+)\)`), "$1::text"},
		{regexp.MustCompile(`list\((\w+)\)`), "array_to_json($1)::text"},
		{regexp.MustCompile(`first\(tags\)`), "tags[1]"},
		{regexp.MustCompile(`second\(tags\)`), "tags[2]"},
		{regexp.MustCompile(`tagged\((\$\d+)\)`), "$1 = ANY(tags)"},
		{regexp.MustCompile(`set_events\(([^()]+)\)`), "jsonb_set($1, '{events}', $$2::jsonb)"},
	},
	false: {
		{regexp.MustCompile(`json\((\$\d+)\)`), "jsonb($1)"},
		{regexp.MustCompile(`state\((\$\d+)\)`), "$1"},
		{regexp.MustCompile(`text\((\w+)\)`), "json($1)"},
		{regexp.MustCompile(`list\((\w+)\)`), "json($1)"},
		{regexp.MustCompile(`first\(tags\)`), "tags->>0"},
		{regexp.MustCompile(`second\(tags\)`), "tags->>1"},
		{regexp.MustCompile(`tagged\((\$\d+)\)`), "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = $1)"},
		{regexp.MustCompile(`set_events\(([^()]+)\)`), "jsonb_set($1, '$$.events', json($$2))"},
		{regexp.MustCompile(`\$(\d+)`), "?$1"},
	},
}

// query is SQL for this database: json($1) makes a value of a JSON column, text(column) reads one, list(tags)
// reads the tags as JSON, first(tags) and second(tags) are tags, tagged($1) finds rows with a tag, and set_events(metadata) puts $2 into metadata.
func (s *store) query(query string) string {
	for _, d := range dialects[s.postgres] {
		query = d.pattern.ReplaceAllString(query, d.sql)
	}
	return query
}

// time is a time as the database compares it.
func (s *store) time(t time.Time) any {
	if s.postgres {
		return t.UTC()
	}
	return sqliteTime(t)
}

// statementTimeout ends a statement that the database doesn't answer: its server may have vanished.
const statementTimeout = 10 * time.Second

func (s *store) exec(ctx context.Context, query string, arguments ...any) (int64, error) {
	return s.do(ctx, statement{s.query(query), arguments})
}

// do runs a statement, and tells how many rows it changed.
func (s *store) do(ctx context.Context, one statement) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	result, err := s.run().ExecContext(ctx, one.query, one.arguments...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads the one row of a query.
func (s *store) row(ctx context.Context, query string, arguments []any, to ...any) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	return s.run().QueryRowContext(ctx, s.query(query), arguments...).Scan(to...)
}

// change is what becomes of a row.
type change struct {
	state rivertype.JobState
	meta  *meta
	// due is when an entry that isn't final is tried next.
	due time.Time
	// wipe takes the content away.
	wipe bool
	// content, where it isn't nil, replaces the content.
	content []byte
	// waiting lets rows be changed too that a worker has and sends nothing of.
	waiting bool
	// queue and tags replace those of the row where queue isn't empty.
	queue string
	tags  []string
	// ended is when a row got into its final state, where it is in one already.
	ended *time.Time
	// attempt, where it isn't 0, is River's count that the row must have: else another worker has it.
	attempt int
}

// isWaiting finds rows that a worker has and sends nothing of. SQLite has 1 for true.
const isWaiting = "CAST(metadata->>'waiting' AS text) IN ('true', '1')"

// expires is when a row's entry is of no more use, or NULL. There is an index of those that mayExpire while nobody is at
// them, so that a large backlog isn't searched for them again and again.
const (
	expires   = "(CAST(metadata->>'expires' AS bigint))"
	mayExpire = expires + " IS NOT NULL AND state NOT IN ('running', 'completed', 'cancelled') AND " +
		"(state <> 'discarded' OR metadata->>'private' IS NOT NULL AND metadata->>'wiped' IS NULL)"
)

var isFinal = map[rivertype.JobState]bool{
	rivertype.JobStateCompleted: true, rivertype.JobStateCancelled: true, rivertype.JobStateDiscarded: true,
}

// apply changes a row in one statement, if it is in one of the states. It tells whether it was.
func (s *store) apply(ctx context.Context, id int64, key string, c change, from ...rivertype.JobState) (bool, error) {
	update, err := s.update(id, key, c, from...)
	if err != nil {
		return false, err
	}
	n, err := s.do(ctx, update)
	return n > 0, err
}

// statement is SQL of this database, with its arguments.
type statement struct {
	query     string
	arguments []any
}

// update is apply's statement. There are few texts of it: what differs is in the arguments.
func (s *store) update(id int64, key string, c change, from ...rivertype.JobState) (statement, error) {
	changed := *c.meta
	// What was heard of the mail meanwhile stays as it is.
	changed.Events = nil
	encoded, err := json.Marshal(&changed)
	if err != nil {
		return statement{}, err
	}
	keepingEvents := "jsonb_set(jsonb($3), '$.events', json(metadata->'events'))"
	if s.postgres {
		keepingEvents = "jsonb_set($3::jsonb, '{events}', metadata->'events')"
	}
	sets := []string{"state = state($2)", "metadata = CASE WHEN metadata->'events' IS NULL THEN json($3) ELSE " + keepingEvents + " END"}
	arguments := []any{id, string(c.state), string(encoded)}
	set := func(column, form string, value any) {
		arguments = append(arguments, value)
		sets = append(sets, column+" = "+fmt.Sprintf(form, fmt.Sprintf("$%d", len(arguments))))
	}
	switch {
	case c.ended != nil:
	case isFinal[c.state]:
		set("finalized_at", "%s", s.time(time.Now()))
	default:
		sets = append(sets, "finalized_at = NULL")
	}
	if !c.due.IsZero() {
		set("scheduled_at", "%s", s.time(c.due))
	}
	if c.wipe || c.content != nil {
		stored, err := json.Marshal(args{Key: key, Content: c.content})
		if err != nil {
			return statement{}, err
		}
		set("args", "json(%s)", string(stored))
	}
	var states []string
	for _, state := range from {
		states = append(states, "'"+string(state)+"'")
	}
	if c.queue != "" {
		set("queue", "%s", c.queue)
		encoded, err := json.Marshal(append([]string{}, c.tags...))
		if err != nil {
			return statement{}, err
		}
		form := "json(%s)"
		if s.postgres {
			form = "ARRAY(SELECT jsonb_array_elements_text(json(%s)))"
		}
		set("tags", form, string(encoded))
	}
	where := "state IN (" + strings.Join(states, ", ") + ")"
	if c.waiting {
		where += " OR state = 'running' AND " + isWaiting
	}
	if c.attempt != 0 {
		arguments = append(arguments, c.attempt)
		where += fmt.Sprintf(" AND attempt = $%d", len(arguments))
	}
	return statement{s.query("UPDATE river_job SET " + strings.Join(sets, ", ") + " WHERE id = $1 AND (" + where + ")"), arguments}, nil
}

// queueOf is the queue of a sender. River's names allow no dots.
func queueOf(sender string) string {
	digest := sha256.Sum256([]byte(sender))
	return "s-" + hex.EncodeToString(digest[:12])
}

// client makes a River client on the store.
func (s *store) client(c *river.Config) (*river.Client[*sql.Tx], error) {
	return river.NewClient(s.driver, c)
}
