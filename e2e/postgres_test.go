package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var databases atomic.Int64

// newDatabase makes an empty database on the server that OUTBOX_POSTGRES_DSN names, and returns its DSN.
func newDatabase(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("OUTBOX_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("OUTBOX_POSTGRES_DSN names no database")
	}
	location, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("e2e_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := server.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before it, the Caddys end that were started later
		ctx := context.WithoutCancel(t.Context())
		if _, err := server.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = server.Close(ctx)
	})
	location.Path = "/" + name
	return location.String()
}

// cluster is a PostgreSQL server of a test's own.
type cluster struct {
	t    *testing.T
	dsn  string
	data string
	// pgCtl is the program that starts and stops it.
	pgCtl, port string
}

// newCluster runs a PostgreSQL that the test may stop.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Skip("there is no PostgreSQL in /usr/lib/postgresql, as Debian installs it")
	}
	bin := filepath.Dir(found[len(found)-1])
	folder, err := os.MkdirTemp("", "e2e-postgres")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	c := &cluster{
		t: t, dsn: "postgres://postgres@" + address + "/postgres", data: filepath.Join(folder, "data"),
		pgCtl: filepath.Join(bin, "pg_ctl"), port: address[strings.LastIndexByte(address, ':')+1:],
	}
	if os.Getuid() == 0 { // as which no PostgreSQL runs
		run(t, exec.Command("chown", "postgres", folder))
	}
	c.run(filepath.Join(bin, "initdb"), "-D", c.data, "-A", "trust", "-U", "postgres", "--no-sync")
	t.Cleanup(func() {
		c.ctl("-m", "immediate", "stop")
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	c.start()
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	c.ctl("-l", c.data+".log", "-o", "-p "+c.port+" -k "+filepath.Dir(c.data)+" -c listen_addresses=127.0.0.1", "start")
}

func (c *cluster) ctl(arguments ...string) {
	c.t.Helper()
	c.run(c.pgCtl, append([]string{"-D", c.data, "-w"}, arguments...)...)
}

// run runs one of PostgreSQL's programs.
func (c *cluster) run(program string, arguments ...string) {
	c.t.Helper()
	command := exec.Command(program, arguments...)
	if os.Getuid() == 0 {
		command = exec.Command("setpriv", append([]string{
			"--reuid=postgres", "--regid=postgres", "--clear-groups", program,
		}, arguments...)...)
	}
	command.Dir = "/"
	run(c.t, command)
}

// run runs a command, whose output is shown if it fails. The output is a file, which those that it leaves
// running keep.
func run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	if err := command.Run(); err != nil {
		text, _ := os.ReadFile(output.Name())
		t.Fatalf("%v: %v\n%s", command.Args, err, text)
	}
}

// signal sends a signal to all processes of the server, to the first one first: a stopped one starts no others.
func (c *cluster) signal(signal syscall.Signal) {
	c.t.Helper()
	pid, _, _ := strings.Cut(readFile(c.t, filepath.Join(c.data, "postmaster.pid")), "\n")
	c.signalOne(pid, signal)
	children, err := exec.Command("ps", "-o", "pid=", "--ppid", pid).Output()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		c.signalOne(child, signal)
	}
}

func (c *cluster) signalOne(process string, signal syscall.Signal) {
	c.t.Helper()
	pid, err := strconv.Atoi(process)
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil && !errors.Is(err, syscall.ESRCH) { // a child may have ended by itself
		c.t.Fatal(err)
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSameHookAtBothEdges repeats a hook at the other edge, as Ory does behind a load balancer.
func TestSameHookAtBothEdges(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	outbox := "outbox postgres " + newDatabase(t)
	first, second := newEdge(t, m, outbox), newEdge(t, m, outbox)
	for n := range 50 {
		address := fmt.Sprintf("once%d@example.net", n)
		statuses := make(chan int)
		for _, e := range []*edge{first, second} {
			go func() { statuses <- e.post(address) }()
		}
		if a, b := <-statuses, <-statuses; a != 204 || b != 204 {
			t.Fatalf("answered %d and %d", a, b)
		}
		if again := m.expect(t, []string{address}, time.Minute); again != 0 {
			t.Errorf("%s arrived again", address)
		}
	}
}

// TestDatabaseRestarts restarts PostgreSQL under load.
func TestDatabaseRestarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	m := newMandrill(t)
	e := newEdge(t, m, "outbox postgres "+c.dsn)
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		time.Sleep(2 * time.Second)
		c.ctl("-m", "fast", "stop")
		time.Sleep(time.Second)
		c.start()
	}()
	accepted := loadFor(t, 8*time.Second, e)
	<-restarted
	e.waitDelivered(2 * time.Minute)
	again := m.expect(t, accepted, time.Second)
	t.Logf("%d accepted, %d arrived again", len(accepted), again)
	if again > 0 {
		t.Errorf("%d arrived again although Mandrill could tell", again)
	}
}

// TestDatabaseIsAwayAtTheStart starts Caddy while PostgreSQL is stopped, or is frozen and takes connections
// that it doesn't answer: Caddy starts, hooks get 503 at once, and are accepted when the database is back.
func TestDatabaseIsAwayAtTheStart(t *testing.T) {
	c := newCluster(t)
	for _, test := range []struct {
		name       string
		away, back func()
	}{
		{"stopped", func() { c.ctl("-m", "fast", "stop") }, c.start},
		{"frozen", func() { c.signal(syscall.SIGSTOP) }, func() { c.signal(syscall.SIGCONT) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMandrill(t)
			test.away()
			back := sync.OnceFunc(test.back)
			t.Cleanup(back)
			began := time.Now()
			e := newEdge(t, m, "outbox postgres "+c.dsn)
			t.Logf("Caddy started within %v", time.Since(began).Round(time.Millisecond))
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("Caddy started after %v", took)
			}
			// A hook that comes before the start has ended waits for it: the site may be there earlier than the outbox.
			asked := time.Now()
			if status := e.post("early@example.net"); status != http.StatusServiceUnavailable {
				t.Errorf("answered %d", status)
			}
			if took := time.Since(asked); took > 6*time.Second {
				t.Errorf("an answer during the start took %v", took)
			}
			waitFor(t, "the end of the start", func() bool {
				_, text := e.call(http.MethodGet, "ready", "")
				return !strings.Contains(text, "no mailchimp")
			})
			slowest := time.Duration(0)
			for n := range 100 {
				asked := time.Now()
				if status := e.post(fmt.Sprintf("away%d@example.net", n)); status != http.StatusServiceUnavailable {
					t.Errorf("answered %d", status)
				}
				slowest = max(slowest, time.Since(asked))
			}
			t.Logf("the slowest answer took %v", slowest)
			if slowest > 100*time.Millisecond {
				t.Errorf("an answer took %v", slowest)
			}
			if status, text := e.call(http.MethodGet, "ready", ""); status != http.StatusServiceUnavailable {
				t.Errorf("ready: %d %s", status, text)
			}
			back()
			e.waitReady(http.StatusOK, 10*time.Second)
			address := test.name + "@example.net" // the tables are the same: it must not be a repeat
			if status := e.post(address); status != http.StatusNoContent {
				t.Errorf("answered %d when the database was back", status)
			}
			m.expect(t, []string{address}, time.Minute)
		})
	}
}
