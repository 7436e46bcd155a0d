// Package database runs SQL on SQLite or PostgreSQL for the outbox.
//
// What callers want committed at the same time is committed together: a commit costs a flush of the disk,
// whatever its size. Each caller is answered after the commit that has its statements. If a batch fails because of
// one of its writes, they are tried one by one, so that a write that cannot be stored fails alone.
//
// One SQL text serves both databases: arguments are $1, $2, …, times are integer milliseconds, JSON is text.
// What differs is in [Dialect]. Statements are never rewritten.
package database

import (
	"context"
	"errors"
	"time"
)

// A DB is one database. It may be used by several goroutines at once.
type DB interface {
	// Write commits the statements of w, in one transaction that other writes may share. When it returns
	// without an error, they are durable. The error wraps ErrUnavailable if the database cannot store now.
	// If ctx or Patience ends first, the statements may be committed all the same, and w must not be used again.
	Write(ctx context.Context, w *Write) error
	// Read runs a query and calls row for each row that it returns.
	Read(ctx context.Context, query string, args []any, row Row) error
	// Maintain runs a statement alone, outside of any transaction. The error wraps ErrUnavailable if it may succeed
	// later.
	Maintain(ctx context.Context, statement string) error
	// Now returns the time by the database's clock.
	Now() time.Time
	// Dialect says what differs between the databases.
	Dialect() Dialect
	// Wakes receives a value when another process has put something in. It is nil if that cannot be told.
	Wakes() <-chan struct{}
	// Trouble returns why the database does not store, or nil if the last commit succeeded.
	Trouble() error
	// Close waits for what is being committed and closes the database.
	Close() error
}

// A Write is what one caller wants committed: its statements succeed or fail together.
type Write struct {
	Statements []*Statement
	// Begin, if set, is called before the statements run, each time they do.
	Begin func()
	// Size is about how many bytes the arguments have.
	Size int
	// Patient waits for the answer however long it takes, instead of for Patience.
	Patient bool
	// Order sorts the writes of a batch, so that two processes lock the same rows in the same order.
	Order string
}

// begin is called before the statements run.
func (w *Write) begin() {
	if w.Begin != nil {
		w.Begin()
	}
	for _, s := range w.Statements {
		s.Changed = 0
	}
}

// A Statement is SQL that changes rows.
type Statement struct {
	SQL  string
	Args []any
	// Row, if set, is called for each row that the statement returns.
	Row Row
	// Changed is the number of rows that the statement changed or returned, after the commit.
	Changed int64
}

// Row reads one row of a result with scan, which is like [database/sql.Rows.Scan].
type Row func(scan func(to ...any) error) error

// results are the rows of database/sql and of pgx.
type results interface {
	Next() bool
	Scan(to ...any) error
	Err() error
}

// readRows calls row for each of the results, and returns how many there were.
func readRows(rows results, row Row) (n int64, err error) {
	for rows.Next() {
		n++
		if err := row(rows.Scan); err != nil {
			return n, rowError{err}
		}
	}
	return n, rows.Err()
}

// Dialect is what differs between the databases.
type Dialect struct {
	Postgres bool
	// Picked begins and ends a condition on the id of rows to be updated, with a query of the ids in between. On
	// PostgreSQL, rows that another process is updating are skipped.
	PickedBegin, PickedEnd string
	// Notify, if not empty, wakes the other processes that share the database.
	Notify string
}

var (
	// ErrUnavailable means that the database cannot store now. It may be able to later.
	ErrUnavailable = errors.New("the outbox cannot store")
	// ErrDamaged means that a file is no database, or not a whole one. It does not recover by itself.
	ErrDamaged = errors.New("it is damaged")
	// ErrRow means that the database answered, and one of the rows cannot be understood.
	ErrRow = errors.New("a row cannot be read")
	// ErrConflict means that a row with the same unique value exists.
	ErrConflict = errors.New("the value is taken")
)

// Limits of a batch.
const (
	maxBatch     = 128
	maxBatchSize = 8 << 20
)

// Patience is how long a caller waits for a commit at most.
const Patience = 5 * time.Second

// Probing intervals: once after a first failure, after others, and while nothing else is stored.
const (
	probeSoon         = 100 * time.Millisecond
	probeAfterFailure = 2 * time.Second
	probeIdle         = 30 * time.Second
)

// maxProbe bounds what a probe writes.
const maxProbe = 1 << 20
