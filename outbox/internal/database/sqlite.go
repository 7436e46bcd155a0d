package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxReaders is how many connections only read.
const maxReaders = 4

// sqliteDB is a SQLite file that belongs to this process. One connection writes; the others read, and never
// keep it waiting.
type sqliteDB struct {
	committer
	file string
	// mode identifies the file that was opened, which may be deleted meanwhile.
	info  os.FileInfo
	lock  *flock.Flock
	owned *sql.DB
	write *sql.Conn
	read  *sql.DB

	// prepared are the statements of the writing connection, which only the committer uses.
	prepared map[string]*sql.Stmt
	mu       sync.Mutex
	queries  map[string]*sql.Stmt
}

// errOpenElsewhere means that another Caddy has the file.
var errOpenElsewhere = errors.New("another process has it open: one outbox file belongs to one Caddy. " +
	"Several Caddys share an outbox postgres")

// OpenSQLite opens a file, makes it if there is none, and brings its tables up to date. The error wraps
// ErrUnavailable if the disk is full, read-only or failing, so that it is worth another try.
func OpenSQLite(ctx context.Context, file string) (DB, error) {
	db := &sqliteDB{file: file, prepared: make(map[string]*sql.Stmt), queries: make(map[string]*sql.Stmt)}
	if err := db.open(ctx); err != nil {
		db.release()
		if isOfDisk(err) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, fmt.Errorf("the file %s: %w", file, err)
	}
	db.stored.Store(time.Now().UnixNano())
	db.start(db, 1)
	return db, nil
}

func (db *sqliteDB) open(ctx context.Context) error {
	absolute, err := filepath.Abs(db.file)
	if err != nil {
		return err
	}
	if err := db.own(absolute); err != nil {
		return err
	}
	location := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	db.owned, err = openConnections(location, url.Values{"_pragma": {
		"busy_timeout(5000)", "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)",
	}}, 1)
	if err != nil {
		return err
	}
	if err := migrate(ctx, db.owned, false); err != nil {
		return explainSQLite(err)
	}
	if db.write, err = db.owned.Conn(ctx); err != nil {
		return err
	}
	db.read, err = openConnections(location, url.Values{"_pragma": {"busy_timeout(5000)", "query_only(ON)"}}, maxReaders)
	return err
}

// own locks the file against other processes and makes sure that nobody else can read it.
func (db *sqliteDB) own(file string) error {
	db.lock = flock.New(file+".lock", flock.SetPermissions(0o600))
	locked, err := db.lock.TryLock()
	if err != nil {
		return err
	}
	if !locked {
		return errOpenElsewhere
	}
	created, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer created.Close()
	if err := created.Chmod(0o600); err != nil {
		return err
	}
	for _, beside := range []string{file + "-wal", file + "-shm"} {
		if err := os.Chmod(beside, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	db.info, err = created.Stat()
	return err
}

func openConnections(location url.URL, settings url.Values, most int) (*sql.DB, error) {
	location.RawQuery = settings.Encode()
	connector, err := sqlite.NewConnector(location.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// explainSQLite adds what to do about a file that is no outbox.
func explainSQLite(err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("it is no outbox: name another file, or move this one away: %w", err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("it is damaged: stop Caddy, move the file away and restore a copy that "+
			"`caddy mailchimp outbox backup` made, or start with a new one: %w", err)
	}
	return err
}

// isOfDisk reports whether an error comes from a disk that may recover.
func isOfDisk(err error) bool {
	var failure *sqlite.Error
	if errors.As(err, &failure) {
		switch failure.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY:
			return true
		}
		return false
	}
	var path *os.PathError
	return errors.As(err, &path)
}

// execute implements executor.
func (db *sqliteDB) execute(writes []*Write) error {
	ctx := context.Background() // one that can end costs a goroutine for each statement
	if _, err := db.exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	for _, w := range writes {
		for _, s := range w.Statements {
			if err := db.run(ctx, s); err != nil {
				_, _ = db.exec(ctx, "ROLLBACK", nil) // the error before it is worth more
				return err
			}
		}
	}
	_, err := db.exec(ctx, "COMMIT", nil)
	if err != nil {
		_, _ = db.exec(ctx, "ROLLBACK", nil) // SQLite keeps some transactions open whose commit failed
	}
	return err
}

func (db *sqliteDB) run(ctx context.Context, s *Statement) error {
	if s.Row == nil {
		result, err := db.exec(ctx, s.SQL, s.Args)
		if err != nil {
			return err
		}
		s.Changed, err = result.RowsAffected()
		return err
	}
	prepared, err := db.prepare(ctx, s.SQL)
	if err != nil {
		return err
	}
	rows, err := prepared.QueryContext(ctx, s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		s.Changed++
		if err := s.Row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (db *sqliteDB) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	prepared, err := db.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return prepared.ExecContext(ctx, args...)
}

// prepare compiles a statement once: that takes longer than running it.
func (db *sqliteDB) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if prepared, ok := db.prepared[query]; ok {
		return prepared, nil
	}
	prepared, err := db.write.PrepareContext(ctx, query)
	if err == nil {
		db.prepared[query] = prepared
	}
	return prepared, err
}

// isOfWrite implements executor.
func (*sqliteDB) isOfWrite(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_ERROR:
		return true
	}
	return false
}

// isConflict implements executor.
func (*sqliteDB) isConflict(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// check implements executor. Who deletes the file of a running Caddy loses all that is put into it.
func (db *sqliteDB) check() error {
	info, err := os.Stat(db.file)
	if err == nil && os.SameFile(info, db.info) {
		return nil
	}
	return fmt.Errorf("the file %s was deleted or replaced: entries that were in it are lost; restart Caddy", db.file)
}

// maxQueries is how many different queries are kept compiled.
const maxQueries = 64

// Read implements DB.
func (db *sqliteDB) Read(ctx context.Context, query string, args []any, row Row) error {
	clean(args)
	prepared, err := db.query(ctx, query)
	if err != nil {
		return err
	}
	var rows *sql.Rows
	if prepared != nil {
		rows, err = prepared.QueryContext(ctx, args...)
	} else {
		rows, err = db.read.QueryContext(ctx, query, args...)
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (db *sqliteDB) query(ctx context.Context, query string) (*sql.Stmt, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if prepared, ok := db.queries[query]; ok {
		return prepared, nil
	}
	if len(db.queries) >= maxQueries {
		return nil, nil
	}
	prepared, err := db.read.PrepareContext(ctx, query)
	if err == nil {
		db.queries[query] = prepared
	}
	return prepared, err
}

// Maintain implements DB. The statement runs on a connection of its own, since the writing one is busy.
func (db *sqliteDB) Maintain(ctx context.Context, statement string) (err error) {
	absolute, err := filepath.Abs(db.file)
	if err != nil {
		return err
	}
	conn, err := openConnections(url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)},
		url.Values{"_pragma": {"busy_timeout(1000)", "secure_delete(ON)"}}, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = conn.ExecContext(ctx, statement)
	return err
}

// Now implements DB.
func (*sqliteDB) Now() time.Time { return time.Now() }

// Dialect implements DB.
func (*sqliteDB) Dialect() Dialect { return Dialect{PickedBegin: "id IN (", PickedEnd: ")"} }

// Wakes implements DB: the file has no other process.
func (*sqliteDB) Wakes() <-chan struct{} { return nil }

// Close implements DB.
func (db *sqliteDB) Close() error {
	db.finish()
	return db.release()
}

func (db *sqliteDB) release() error {
	var err error
	for _, prepared := range db.prepared {
		err = errors.Join(err, prepared.Close())
	}
	for _, prepared := range db.queries {
		err = errors.Join(err, prepared.Close())
	}
	if db.read != nil {
		err = errors.Join(err, db.read.Close())
	}
	if db.write != nil {
		err = errors.Join(err, db.write.Close())
	}
	if db.owned != nil {
		err = errors.Join(err, db.owned.Close())
	}
	if db.lock != nil {
		err = errors.Join(err, db.lock.Close())
	}
	return err
}

// CountIn returns the number that a query gives in a file that may belong to another process.
func CountIn(ctx context.Context, file, query string) (n int, err error) {
	if _, err := os.Stat(file); err != nil {
		return 0, err
	}
	location := url.URL{Scheme: "file", Path: filepath.ToSlash(file)}
	db, err := openConnections(location, url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(1000)"}}, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}
