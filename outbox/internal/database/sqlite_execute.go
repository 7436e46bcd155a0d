package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// execute implements executor.
func (db *sqliteDB) execute(writes []*Write) error {
	ctx := context.Background() // one that can end costs a goroutine for each statement
	if _, err := db.exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return db.explain(err)
	}
	committed := false
	defer func() {
		if !committed {
			// SQLite keeps some transactions open whose commit failed. The error before it is worth more.
			_, _ = db.exec(ctx, "ROLLBACK", nil)
		}
	}()
	for _, w := range writes {
		w.begin()
		for _, s := range w.Statements {
			if err := db.run(ctx, s); err != nil {
				return db.explain(err)
			}
		}
	}
	if _, err := db.exec(ctx, "COMMIT", nil); err != nil {
		return db.explain(err)
	}
	committed = true
	return db.check()
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
	s.Changed, err = readRows(rows, s.Row)
	return err
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
	return db.explain(db.readAll(ctx, query, args, row))
}

func (db *sqliteDB) readAll(ctx context.Context, query string, args []any, row Row) error {
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
	_, err = readRows(rows, row)
	return err
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

// Maintain implements DB. The statement runs on a connection of its own, since the writing one is busy. It waits a
// moment only for a lock, because a checkpoint that waits for readers holds up hooks.
func (db *sqliteDB) Maintain(ctx context.Context, statement string) (err error) {
	absolute, err := filepath.Abs(db.file)
	if err != nil {
		return err
	}
	conn, err := openConnections(url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)},
		url.Values{"_pragma": {"busy_timeout(50)", "secure_delete(ON)"}}, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// A pragma such as incremental_vacuum does a step of its work for each row that is read.
	rows, err := conn.QueryContext(ctx, statement)
	if err == nil {
		for rows.Next() {
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	if isOfDisk(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return db.explain(err)
}

// Now implements DB.
func (*sqliteDB) Now() time.Time { return time.Now() }

// Dialect implements DB.
func (*sqliteDB) Dialect() Dialect { return Dialect{PickedBegin: "id IN (", PickedEnd: ")"} }

// Wakes implements DB: the file has no other process.
func (*sqliteDB) Wakes() <-chan struct{} { return nil }
