package outbox

import (
	"context"
	"database/sql/driver"
	"errors"

	lru "github.com/hashicorp/golang-lru/v2"
)

// connector opens SQLite with connections that keep their compiled statements.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	compiled, err := lru.NewWithEvict(maxCompiled, func(_ string, s *compiled) {
		if s.dropped = true; !s.busy {
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
	// busy tells that rows are being read from it, and dropped that it isn't kept any more.
	busy, dropped bool
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
	err := r.Rows.Close()
	if r.of.busy = false; r.of.dropped {
		err = errors.Join(err, r.of.Close())
	}
	return err
}
