package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	versionTable = "outbox_version"
	// migrationLock serialises processes that make the tables at the same time. The number is arbitrary.
	migrationLock = 7205759403792793
)

// ErrOldOutbox means that the tables are those of a version before 0.1.0.
var ErrOldOutbox = errors.New("it was made by an earlier version: let that version deliver what is in it, " +
	"then name a new file or database")

// ErrNewOutbox means that the tables are those of a version after this one.
var ErrNewOutbox = errors.New("it was made by a later version")

// migrate brings the tables up to date.
func migrate(ctx context.Context, db *sql.DB, postgres bool) error {
	current, err := isCurrent(ctx, db, postgres)
	if err != nil || current {
		return err
	}
	provider, err := newProvider(db, postgres)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func newProvider(db *sql.DB, postgres bool) (*goose.Provider, error) {
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	dialect := database.DialectSQLite3
	if postgres {
		dialect = database.DialectPostgres
	}
	// A database that is shared with others may have a version table of goose's own name.
	versions, err := database.NewStore(dialect, versionTable)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", db, folder, goose.WithStore(versions), goose.WithDisableGlobalRegistry(true))
}

// isCurrent reports whether the tables are up to date. Then no DDL runs: the role may be one that only reads and
// writes.
func isCurrent(ctx context.Context, db *sql.DB, postgres bool) (bool, error) {
	provider, err := newProvider(db, postgres)
	if err != nil {
		return false, err
	}
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	version, err := schemaVersion(ctx, db, postgres)
	if err == nil && version > newest {
		err = fmt.Errorf("%w (its tables are version %d, this one knows %d): install that version",
			ErrNewOutbox, version, newest)
	}
	return version == newest, err
}

// schemaVersion returns 0 for a database without our tables.
func schemaVersion(ctx context.Context, db *sql.DB, postgres bool) (version int64, err error) {
	has := func(table string) (found bool, err error) {
		query := "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1"
		if postgres {
			query = "SELECT to_regclass($1) IS NOT NULL"
		}
		err = db.QueryRowContext(ctx, query, table).Scan(&found)
		return found, err
	}
	old, err := has("outbox_setting")
	if err != nil {
		return 0, err
	}
	if old {
		return 0, ErrOldOutbox
	}
	migrated, err := has(versionTable)
	if err != nil || !migrated {
		return 0, err
	}
	const newest = "SELECT coalesce(max(version_id), 0) FROM " + versionTable + " WHERE is_applied"
	err = db.QueryRowContext(ctx, newest).Scan(&version)
	return version, err
}

// prepare migrates and reads the clock. The migration holds a lock, on a connection that is not the pool's: the
// pool may have one alone.
func (db *Postgres) prepare(ctx context.Context) error {
	if err := db.ReadClock(ctx); err != nil {
		return err
	}
	shared := stdlib.OpenDBFromPool(db.pool)
	defer shared.Close()
	current, err := isCurrent(ctx, shared, true)
	if err != nil || current {
		return err
	}
	if err := db.mayMigrate(ctx); err != nil {
		return err
	}
	config := db.pool.Config().ConnConfig
	login := db.login.Load()
	config.User, config.Password = login.User, login.Password
	locking, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer locking.Close(context.WithoutCancel(ctx))
	tx, err := locking.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it holds the lock, and nothing else
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	return migrate(ctx, shared, true)
}

// mayMigrate returns what keeps this role from making tables. Without it, goose tries for some seconds, and the last
// error does not tell.
func (db *Postgres) mayMigrate(ctx context.Context) error {
	const query = "SELECT current_schema() IS NOT NULL, coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
	var schema, create bool
	err := db.Read(ctx, query, nil, func(scan func(...any) error) error { return scan(&schema, &create) })
	switch {
	case err != nil:
		return err
	case !schema:
		return &pgconn.PgError{Code: "3F000", Message: "there is no schema to make the outbox's tables in"}
	case !create:
		return &pgconn.PgError{Code: "42501", Message: "this role must not make the outbox's tables"}
	}
	return nil
}
