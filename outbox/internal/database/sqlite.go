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
	// info identifies the file that was opened, which may be deleted meanwhile.
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

// busyTimeout is how long a lock of another program, such as a tool that copies the file, is waited for.
var busyTimeout = 5 * time.Second

func busyPragma() string { return fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()) }

// errOpenElsewhere means that another Caddy has the file.
var errOpenElsewhere = errors.New("another process has it open: one outbox file belongs to one Caddy. " +
	"Several Caddys share an outbox postgres")

// OpenSQLite opens a file, makes it if there is none, and brings its tables up to date. The error wraps
// ErrUnavailable if the disk is full, read-only or failing, so that it is worth another try.
func OpenSQLite(ctx context.Context, file string) (DB, error) {
	db := &sqliteDB{file: file, prepared: make(map[string]*sql.Stmt), queries: make(map[string]*sql.Stmt)}
	if err := db.open(ctx); err != nil {
		_ = db.release() // the error before it is worth more
		if isOfDisk(err) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if errors.Is(err, ErrDamaged) {
			return nil, err
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
		busyPragma(), "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)",
	}}, 1)
	if err != nil {
		return err
	}
	if err := migrate(ctx, db.owned, false); err != nil {
		return db.explain(err)
	}
	if db.write, err = db.owned.Conn(ctx); err != nil {
		return err
	}
	db.read, err = openConnections(location, url.Values{"_pragma": {busyPragma(), "query_only(ON)"}}, maxReaders)
	return err
}

// own locks the file against other processes and makes sure that nobody else can read it.
func (db *sqliteDB) own(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return errNoFile
	}
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
	for _, beside := range []string{file + "-wal", file + "-shm", file + ".lock"} {
		if err := os.Chmod(beside, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	db.info, err = created.Stat()
	return err
}

// errNoFile is a mistake of the operator, which does not pass.
var errNoFile = errors.New("it is a folder: name a file in it")

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

// explain adds what to do about a file that is no outbox.
func (db *sqliteDB) explain(err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) || errors.Is(err, ErrDamaged) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is no outbox: name another file, or move this one away: %w: %w", db.file, ErrDamaged, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s: %w: stop Caddy, move the file away and restore a copy that "+
			"`caddy mailchimp outbox backup` made, or start with a new one: %w", db.file, ErrDamaged, err)
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
