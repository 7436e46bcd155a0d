package database

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server returns a connection to OUTBOX_POSTGRES_DSN.
func server(t *testing.T) *pgx.Conn {
	t.Helper()
	dsn := os.Getenv("OUTBOX_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("OUTBOX_POSTGRES_DSN names no database")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// another returns the DSN of another database, user or parameter.
func another(t *testing.T, change func(u *url.URL, parameters url.Values)) string {
	t.Helper()
	u, err := url.Parse(os.Getenv("OUTBOX_POSTGRES_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	parameters := u.Query()
	change(u, parameters)
	u.RawQuery = parameters.Encode()
	return u.String()
}

// newName is one that no other test has.
func newName() string { return fmt.Sprintf("t%d_%d", os.Getpid(), rand.Uint32()) }

// schema makes an empty schema, and returns its name and a DSN.
func schema(t *testing.T, conn *pgx.Conn) (name, dsn string) {
	t.Helper()
	name = newName()
	run(t, conn, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, conn, "DROP SCHEMA "+name+" CASCADE") })
	return name, another(t, func(_ *url.URL, parameters url.Values) { parameters.Set("search_path", name) })
}

func openPostgres(t *testing.T, dsn string) *Postgres {
	t.Helper()
	db, err := OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestRoles opens a database with roles as people have them.
func TestRoles(t *testing.T) {
	conn := server(t)
	name, dsn := schema(t, conn)
	role := newName()
	run(t, conn, "CREATE ROLE "+role+" LOGIN", "GRANT USAGE ON SCHEMA "+name+" TO "+role)
	t.Cleanup(func() { run(t, conn, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	asRole := another(t, func(u *url.URL, parameters url.Values) {
		u.User = url.User(role)
		parameters.Set("search_path", name)
	})
	refused := func(when, want string) {
		t.Helper()
		_, err := OpenPostgres(t.Context(), asRole)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("without tables and CREATE", "(SQLSTATE 42501): grant the role")
	openPostgres(t, dsn) // the owner makes the tables
	refused("without any rights on tables", "(SQLSTATE 42501): grant the role")
	run(t, conn, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+name+" TO "+role)
	// With DML alone: no DDL runs where the tables are up to date.
	db := openPostgres(t, asRole)
	write(t, db, "a", "b")
	run(t, conn, "REVOKE INSERT ON ALL TABLES IN SCHEMA "+name+" FROM "+role)
	if err := db.Write(t.Context(), set("c", "d")); !errors.Is(err, ErrUnavailable) ||
		!strings.Contains(err.Error(), "42501") {
		t.Errorf("writing without the right to: %v", err)
	}
	if err := db.Trouble(); err == nil || !strings.Contains(err.Error(), "grant the role") {
		t.Errorf("trouble %v", err)
	}
}

// TestOperatorsMistakes says what is wrong with a DSN. None of it ends a process, since it may be fixed.
func TestOperatorsMistakes(t *testing.T) {
	conn := server(t)
	for name, test := range map[string]struct {
		change func(u *url.URL, parameters url.Values)
		want   string
	}{
		"no such role": {
			func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nobody", secret) }, "SQLSTATE 28000",
		},
		"no such database": {func(u *url.URL, _ url.Values) { u.Path = "nothing" }, "create the database"},
		"no such schema":   {func(_ *url.URL, p url.Values) { p.Set("search_path", "nothing") }, "create the schema"},
		"no such server":   {func(u *url.URL, _ url.Values) { u.Host = "127.0.0.1:1" }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenPostgres(t.Context(), another(t, test.change))
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(fmt.Sprint(err), test.want) ||
				strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("got %v", err)
			}
		})
	}
	name, dsn := schema(t, conn)
	run(t, conn, "CREATE TABLE "+name+".river_job (id int)", "CREATE TABLE "+name+".outbox_setting (name text)")
	if _, err := OpenPostgres(t.Context(), dsn); !errors.Is(err, ErrOldOutbox) || errors.Is(err, ErrUnavailable) {
		t.Errorf("of a version with River: %v", err)
	}
	run(t, conn, "DROP TABLE "+name+".river_job, "+name+".outbox_setting")
	db := openPostgres(t, dsn)
	run(t, conn, "INSERT INTO "+name+".outbox_version (version_id, is_applied) VALUES (99, true)")
	if _, err := OpenPostgres(t.Context(), dsn); !errors.Is(err, ErrNewOutbox) || errors.Is(err, ErrUnavailable) {
		t.Errorf("of a later version: %v", err)
	}
	run(t, conn, "DROP TABLE "+name+".setting")
	if err := db.Write(t.Context(), set("a", "b")); !errors.Is(err, ErrUnavailable) ||
		!strings.Contains(err.Error(), "SQLSTATE 42P01") {
		t.Errorf("a table is gone: %v", err)
	}
}

// TestSmallestPool does everything with one connection.
func TestSmallestPool(t *testing.T) {
	_, dsn := schema(t, server(t))
	db := openPostgres(t, dsn+"&pool_max_conns=1")
	var working sync.WaitGroup
	for n := range 20 {
		working.Go(func() {
			if err := db.Write(t.Context(), set(fmt.Sprint(n), "a")); err != nil {
				t.Error(err)
			}
			err := db.Read(
				t.Context(),
				"SELECT name FROM setting",
				nil,
				func(scan func(...any) error) error { return scan(new(string)) },
			)
			if err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	if n := db.pool.Stat().MaxConns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestSeveralStart has processes make the tables at the same time.
func TestSeveralStart(t *testing.T) {
	_, dsn := schema(t, server(t))
	var starting sync.WaitGroup
	for n := range 5 {
		starting.Go(func() {
			db, err := OpenPostgres(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Write(t.Context(), set(fmt.Sprint(n), "a")); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
}

// TestTerminated ends all connections again and again, idle ones and busy ones, and nobody notices.
func TestTerminated(t *testing.T) {
	conn := server(t)
	_, dsn := schema(t, conn)
	application := newName()
	db := openPostgres(t, dsn+"&application_name="+application)
	terminate := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '" + application + "'"
	ended := make(chan struct{})
	var working sync.WaitGroup
	var done [4]atomic.Int64
	for caller := range done {
		working.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				name := fmt.Sprint(caller, "-", n)
				if err := db.Write(t.Context(), set(name, name)); err != nil {
					t.Errorf("writing: %v", err)
				}
				if got := value(t, db, "SELECT value FROM setting WHERE name = $1", name); got != name {
					t.Errorf("read %q", got)
				}
				done[caller].Add(1)
			}
		})
	}
	for range 20 {
		run(t, conn, terminate)
		// What is repeated is not hit by the next sweep too.
		for caller := range done {
			for before := done[caller].Load(); done[caller].Load() < before+2 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	}
	close(ended)
	working.Wait()
	time.Sleep(20 * time.Millisecond) // all connections are idle
	run(t, conn, terminate)
	write(t, db, "after", "it")
	if err := db.Trouble(); err != nil {
		t.Errorf("trouble %v", err)
	}
}

// TestNoDeadlock has two processes, with two committers each, write the same keys in any order.
func TestNoDeadlock(t *testing.T) {
	_, dsn := schema(t, server(t))
	// A deadlock would be found after this time, and seen by it.
	dsn += "&deadlock_timeout=1min"
	var working sync.WaitGroup
	for _, db := range []*Postgres{openPostgres(t, dsn), openPostgres(t, dsn)} {
		for range 32 {
			working.Go(func() {
				for range 20 {
					key := fmt.Sprint(rand.IntN(10))
					w := set(key, "a")
					w.Order = key
					if err := db.Write(t.Context(), w); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	working.Wait()
}

// TestDeadlock has two processes lock two rows in opposite order: the one that PostgreSQL ends is repeated.
func TestDeadlock(t *testing.T) {
	_, dsn := schema(t, server(t))
	dsn += "&deadlock_timeout=20ms"
	var working sync.WaitGroup
	for _, keys := range [][]string{{"a", "b"}, {"b", "a"}} {
		db := openPostgres(t, dsn)
		working.Go(func() {
			first, second := set(keys[0], keys[1]).Statements[0], set(keys[1], keys[0]).Statements[0]
			pause := &Statement{SQL: "SELECT pg_sleep(0.2)"}
			if err := db.Write(t.Context(), &Write{Statements: []*Statement{first, pause, second}}); err != nil {
				t.Error(err)
			}
			if err := db.Trouble(); err != nil {
				t.Errorf("trouble %v", err)
			}
		})
	}
	working.Wait()
}

// TestSerializable works where the operator has chosen the strictest isolation.
func TestSerializable(t *testing.T) {
	_, dsn := schema(t, server(t))
	db := openPostgres(t, dsn+"&default_transaction_isolation=serializable")
	var working sync.WaitGroup
	for range 16 {
		working.Go(func() {
			for range 10 {
				if err := db.Write(t.Context(), set("same", fmt.Sprint(rand.Int()))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
}

// TestPanicsOnPostgres costs no connections.
func TestPanicsOnPostgres(t *testing.T) {
	_, dsn := schema(t, server(t))
	db := openPostgres(t, dsn+"&pool_max_conns=2")
	write(t, db, "a", "b")
	for range 5 {
		crash := &Write{Statements: []*Statement{{
			SQL: "UPDATE setting SET value = value RETURNING name", Row: func(func(...any) error) error { panic("crash") },
		}}}
		if err := db.Write(t.Context(), crash); !errors.Is(err, errCrashed) {
			t.Errorf("got %v", err)
		}
	}
	write(t, db, "c", "d")
}

// TestBadValue fails alone, and says nothing about the database.
func TestBadValue(t *testing.T) {
	_, dsn := schema(t, server(t))
	db := openPostgres(t, dsn)
	write(t, db, "cleaned", "a\x00b")
	if got := value(t, db, "SELECT value FROM setting WHERE name = $1", "clean\x00ed"); got != "ab" {
		t.Errorf("read %q", got)
	}
	bad := &Write{Statements: []*Statement{{SQL: "INSERT INTO setting (name, value) VALUES ('x', NULL)"}}}
	if err := db.Write(t.Context(), bad); err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrConflict) {
		t.Errorf("null: %v", err)
	}
	taken := &Write{Statements: []*Statement{{SQL: "INSERT INTO setting (name, value) VALUES ('cleaned', '')"}}}
	if err := db.Write(t.Context(), taken); !errors.Is(err, ErrConflict) {
		t.Errorf("a taken value: %v", err)
	}
	if err := db.Trouble(); err != nil {
		t.Errorf("trouble %v", err)
	}
}

// TestNewLogin uses other credentials for new connections.
func TestNewLogin(t *testing.T) {
	conn := server(t)
	name, dsn := schema(t, conn)
	role := newName()
	run(t, conn, "CREATE ROLE "+role+" LOGIN SUPERUSER")
	t.Cleanup(func() { run(t, conn, "DROP ROLE "+role) })
	db := openPostgres(t, dsn)
	asRole := another(t, func(u *url.URL, p url.Values) { u.User = url.User(role); p.Set("search_path", name) })
	if err := db.Login(asRole); err != nil {
		t.Fatal(err)
	}
	db.pool.Reset()
	if got := value(t, db, "SELECT current_user::text"); got != role {
		t.Errorf("logged in as %s", got)
	}
}

// TestReadIsNotCancelled lets a short query end whose caller has gone, and cuts one that does not end.
func TestReadIsNotCancelled(t *testing.T) {
	_, dsn := schema(t, server(t))
	db := openPostgres(t, dsn)
	ignore := func(func(...any) error) error { return nil }
	for query, want := range map[string]bool{"SELECT pg_sleep(0.1)": true, "SELECT pg_sleep(5)": false} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := db.Read(ctx, query, nil, ignore); (err == nil) != want || time.Since(began) > 2*grace {
			t.Errorf("%s: %v after %v", query, err, time.Since(began))
		}
	}
}

// TestListening hears of what another process puts in.
func TestListening(t *testing.T) {
	_, dsn := schema(t, server(t))
	one, other := openPostgres(t, dsn), openPostgres(t, dsn)
	for began := time.Now(); !one.Hears(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("it does not hear itself")
		}
	}
	time.Sleep(100 * time.Millisecond) // both have said what they say at the start
	for len(one.Wakes()) > 0 {
		<-one.Wakes()
	}
	began := time.Now()
	if err := other.Write(t.Context(), &Write{Statements: []*Statement{{SQL: other.Dialect().Notify}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-one.Wakes():
		if after := time.Since(began); after > 500*time.Millisecond {
			t.Errorf("it took %v", after)
		}
	case <-time.After(5 * time.Second):
		t.Error("it was not woken")
	}
}
