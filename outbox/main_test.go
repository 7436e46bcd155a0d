package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestMain(m *testing.M) {
	if os.Getenv("OUTBOX_CRASH_FILE") != "" {
		crashChild()
		return
	}
	goleak.VerifyTestMain(m,
		// database/sql ends its own goroutine a moment after Close.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
	)
}

const sender = "example.com"

// fake delivers by a function, and keeps what it delivered.
type fake struct {
	mu        sync.Mutex
	deliver   func(d outbox.Delivery, n int) outbox.Result
	delivered []outbox.Delivery
	// times are when it was called.
	times   []time.Time
	events  []outbox.Event
	changed chan struct{}
}

func newFake(deliver func(d outbox.Delivery, n int) outbox.Result) *fake {
	return &fake{deliver: deliver, changed: make(chan struct{})}
}

func sent(outbox.Delivery, int) outbox.Result { return outbox.Result{Verdict: outbox.VerdictSent} }

// afterFirst delivers, but for the first attempt, whose result is given.
func afterFirst(result outbox.Result) func(outbox.Delivery, int) outbox.Result {
	return func(_ outbox.Delivery, n int) outbox.Result {
		if n == 1 {
			return result
		}
		return outbox.Result{Verdict: outbox.VerdictSent}
	}
}

// atOnce counts how many entries are being sent when each begins.
type atOnce struct {
	mu      sync.Mutex
	sending int
	seen    []int
}

// send takes a while.
func (a *atOnce) send(takes time.Duration) outbox.Result {
	a.mu.Lock()
	a.sending++
	a.seen = append(a.seen, a.sending)
	a.mu.Unlock()
	time.Sleep(takes)
	a.mu.Lock()
	a.sending--
	a.mu.Unlock()
	return outbox.Result{Verdict: outbox.VerdictSent}
}

// first returns the first n of what was counted.
func (a *atOnce) first(n int) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen[:n])
}

// resend delivers too, and finds nothing of what is uncertain.
func resend(d outbox.Delivery, _ int) outbox.Result {
	if d.Uncertain {
		return outbox.Result{Verdict: outbox.VerdictResend, Reason: "it was not found"}
	}
	return outbox.Result{Verdict: outbox.VerdictSent}
}

func (f *fake) Deliver(_ context.Context, d outbox.Delivery) outbox.Result {
	f.mu.Lock()
	f.delivered, f.times = append(f.delivered, d), append(f.times, time.Now())
	n := len(f.delivered)
	deliver := f.deliver
	f.change()
	f.mu.Unlock()
	return deliver(d, n)
}

func (f *fake) notify(e outbox.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	f.change()
}

func (f *fake) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait returns when the condition holds, which is looked at whenever something happens.
func (f *fake) wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	patience := 24 * time.Hour // in a bubble, it passes at once
	if strings.HasSuffix(t.Name(), "/postgres") || strings.HasSuffix(t.Name(), "/pgbouncer") {
		patience = 20 * time.Second
	}
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		changed, holds := f.changed, condition()
		f.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; events %v", what, f.counts())
		}
	}
}

func (f *fake) waitEvents(t *testing.T, name string, n int) {
	t.Helper()
	f.wait(t, fmt.Sprintf("%d × %s", n, name), func() bool { return f.count(name) >= n })
}

// counts returns how many events there were of each name.
func (f *fake) counts() map[string]int {
	counts := make(map[string]int)
	for _, e := range f.events {
		counts[e.Name]++
	}
	return counts
}

func (f *fake) count(name string) int {
	n := 0
	for _, e := range f.events {
		if e.Name == name {
			n++
		}
	}
	return n
}

// each runs a test on SQLite, on PostgreSQL where OUTBOX_POSTGRES_DSN names a server, and behind PgBouncer where
// OUTBOX_PGBOUNCER_DSN names one.
func each(t *testing.T, test func(t *testing.T, c outbox.Config)) {
	onSQLite(t, test)
	onPostgres(t, test) // which hurries
	t.Run("pgbouncer", func(t *testing.T) {
		t.Parallel()
		test(t, outbox.Config{Postgres: pgbouncer(t)})
	})
}

// onSQLite runs a test in a bubble, where time passes as soon as nothing else happens.
func onSQLite(t *testing.T, test func(t *testing.T, c outbox.Config)) {
	t.Run("sqlite", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, outbox.Config{SQLite: filepath.Join(memory(t), "outbox.db")})
		})
	})
}

// memory returns a folder in memory, where there is one: hours of a bubble have many commits, and no disk is tested.
func memory(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "outbox")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

func onPostgres(t *testing.T, test func(t *testing.T, c outbox.Config)) {
	outbox.Hurry(t)
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, outbox.Config{Postgres: postgres(t)})
	})
}

// server returns a connection to the database that a variable names.
func server(t *testing.T, variable string) (*pgx.Conn, *url.URL) {
	t.Helper()
	dsn := os.Getenv(variable)
	if dsn == "" {
		t.Skip(variable + " names no database")
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, u
}

func run(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

// newName is one that no other test has.
func newName() string { return fmt.Sprintf("t%d_%d", os.Getpid(), rand.Uint32()) }

// postgres returns the DSN of an empty schema of its own.
func postgres(t *testing.T) string {
	t.Helper()
	conn, u := server(t, "OUTBOX_POSTGRES_DSN")
	name := newName()
	run(t, conn, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, conn, "DROP SCHEMA "+name+" CASCADE") })
	parameters := u.Query()
	parameters.Set("search_path", name)
	u.RawQuery = parameters.Encode()
	return u.String()
}

// pgbouncer returns the DSN of an empty database of its own: PgBouncer does not pass search_path on.
func pgbouncer(t *testing.T) string {
	t.Helper()
	conn, u := server(t, "OUTBOX_PGBOUNCER_DSN")
	return database(t, conn, u)
}

// database makes an empty database.
func database(t *testing.T, conn *pgx.Conn, u *url.URL) string {
	t.Helper()
	name := newName()
	run(t, conn, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, conn, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = name
	return u.String()
}

func open(t *testing.T, c outbox.Config, f *fake, change ...func(*outbox.Settings)) *outbox.Outbox {
	t.Helper()
	s := outbox.Settings{Senders: []string{sender}, Deliverer: f, Notify: f.notify}
	for _, change := range change {
		change(&s)
	}
	o, err := outbox.Open(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func start(t *testing.T, o *outbox.Outbox) {
	t.Helper()
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, o *outbox.Outbox, key string, change ...func(*outbox.New)) outbox.Receipt {
	t.Helper()
	entry := outbox.New{
		Key:        key,
		Sender:     sender,
		Hook:       "/welcome",
		Template:   "welcome.jsonnet",
		Recipients: []string{"Ada@example.net"},
		Content:    []byte("content of " + key + "\x00"),
	}
	for _, change := range change {
		change(&entry)
	}
	receipt, err := o.Put(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// eventually returns when the condition holds, which is looked at from time to time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func get(t *testing.T, o *outbox.Outbox, id string) outbox.Entry {
	t.Helper()
	entry, err := o.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}
