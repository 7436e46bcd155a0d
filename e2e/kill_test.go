package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

var rounds = flag.Int("rounds", 20, "how often a Caddy is killed")

const workers = 32

// TestKill kills a Caddy at random moments under load: every hook that was answered 204 arrives.
func TestKill(t *testing.T) {
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	var hooks atomic.Int64
	var accepted []string
	for range *rounds {
		killer := time.AfterFunc(time.Duration(200+rand.IntN(600))*time.Millisecond, e.kill)
		accepted = append(accepted, loadFor(t, time.Second, &hooks, e)...)
		killer.Stop()
		e.kill()
		e.start()
	}
	again := m.expect(t, accepted, 2*time.Minute)
	t.Logf("%d kills, %d accepted, %d arrived again", *rounds, len(accepted), again)
	if again > *rounds*workers {
		t.Errorf("%d arrived again, more than were in flight", again)
	}
}

// TestKillAfterASyncAnswer kills a Caddy as soon as it has answered a sync hook: its repeat is told what was recorded, and nothing
// is sent again.
func TestKillAfterASyncAnswer(t *testing.T) {
	m := newMandrill(t)
	e := newEdgeWith(t, m, "outbox sqlite FOLDER/outbox.db", "mailchimp_hook * t.jsonnet {\nauth off\ndelivery sync\n}\n", map[string]string{"t.jsonnet": template})
	for n := range *rounds {
		address := fmt.Sprintf("sync%d@example.net", n)
		answered := e.post(address)
		e.kill()
		e.start()
		if repeated := e.post(address); answered != http.StatusNoContent || repeated != http.StatusNoContent {
			t.Errorf("answered %d, and after the kill %d", answered, repeated)
		}
		if again := m.expect(t, []string{address}, time.Minute); again != 0 {
			t.Errorf("%s arrived again", address)
		}
	}
}

func dsn(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("OUTBOX_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("OUTBOX_POSTGRES_DSN names no database")
	}
	return dsn
}

// TestKillOneOfTwoEdges kills one of two edges on a PostgreSQL: the other takes over within a minute.
func TestKillOneOfTwoEdges(t *testing.T) {
	run++
	m := newMandrill(t)
	outbox := "outbox postgres " + dsn(t)
	first, second := newEdge(t, m, outbox), newEdge(t, m, outbox)
	var hooks atomic.Int64
	// Slow calls make sure that something is in flight at the kill.
	slow := time.AfterFunc(1800*time.Millisecond, func() {
		if err := m.Fail(sandbox.Failure{Calls: 2 * workers, Delay: "1s"}); err != nil {
			t.Error(err)
		}
	})
	defer slow.Stop()
	killer := time.AfterFunc(2*time.Second, first.kill)
	defer killer.Stop()
	accepted := loadFor(t, 4*time.Second, &hooks, first, second)
	killed := time.Now()
	again := m.expect(t, accepted, 90*time.Second)
	t.Logf("%d accepted, %d arrived again, the last within %v of the end of the load", len(accepted), again, time.Since(killed).Round(time.Second))
	if again > workers {
		t.Errorf("%d arrived again, more than were in flight", again)
	}
}

// TestSameHookAtBothEdges repeats a hook at the other edge, as Ory does behind a load balancer.
func TestSameHookAtBothEdges(t *testing.T) {
	m := newMandrill(t)
	outbox := "outbox postgres " + dsn(t)
	first, second := newEdge(t, m, outbox), newEdge(t, m, outbox)
	for n := range 50 {
		address := fmt.Sprintf("once%d-%d@example.net", run, n)
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

// TestMandrillIsDown has Mandrill fail for the whole of the load.
func TestMandrillIsDown(t *testing.T) {
	for name, failure := range map[string]sandbox.Failure{
		"suspended":  {Calls: 1_000_000, Status: 402, Name: "PaymentRequired"},
		"rate limit": {Calls: 20, Status: 429, Name: "RequestLimitExceeded", RetryAfter: 1},
		"down":       {Calls: 1_000_000, Status: 500, Name: "GeneralError"},
		"refusing":   {Calls: 1_000_000, Reset: "before"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMandrill(t)
			e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
			if err := m.Fail(failure); err != nil {
				t.Fatal(err)
			}
			var hooks atomic.Int64
			accepted := loadFor(t, 3*time.Second, &hooks, e)
			m.Recover()
			if again := m.expect(t, accepted, 2*time.Minute); again != 0 {
				t.Errorf("%d arrived again", again)
			}
			t.Logf("%d accepted", len(accepted))
		})
	}
}

// TestReloads reloads every 100 ms under load, with other workers and timeouts each time, while calls of Mandrill take a while:
// every hook that was answered 204 arrives, once.
func TestReloads(t *testing.T) {
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	if err := m.Fail(sandbox.Failure{Calls: 200, Delay: "300ms"}); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(e.config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var reloads int
	var reloading sync.WaitGroup
	reloading.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			reloads++
			changed := strings.Replace(string(config), "mailchimp {\n", fmt.Sprintf("mailchimp {\nworkers %d\n", 8+reloads%3), 1)
			answer, err := http.Post("http://"+e.admin+"/load", "text/caddyfile", strings.NewReader(changed))
			if err != nil {
				t.Error(err)
				return
			}
			if answer.Body.Close(); answer.StatusCode != http.StatusOK {
				t.Errorf("a reload is answered %d", answer.StatusCode)
			}
		}
	})
	var hooks atomic.Int64
	accepted := loadFor(t, 6*time.Second, &hooks, e)
	close(done)
	reloading.Wait()
	again := m.expect(t, accepted, 2*time.Minute)
	t.Logf("%d reloads, %d accepted", reloads, len(accepted))
	if again != 0 {
		t.Errorf("%d arrived again", again)
	}
}

// TestDiskFull fills the disk under the outbox: hooks get 503, and are accepted when there is room again.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no disk can be mounted here: %v %s", err, output)
	}
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite "+disk+"/outbox.db")
	t.Cleanup(func() {
		e.kill()
		if output, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, output)
		}
	})
	if status := e.post("before@example.net"); status != 204 {
		t.Fatalf("before: %d", status)
	}
	ballast := filepath.Join(disk, "ballast")
	_ = os.WriteFile(ballast, []byte(strings.Repeat("x", 4<<20)), 0o600) // as much as fits
	refused := 0
	accepted := []string{"before@example.net"}
	for n := range 200 {
		address := "full" + strings.Repeat("x", n) + "@example.net"
		switch status := e.post(address); status {
		case 204:
			accepted = append(accepted, address)
		case 503:
			refused++
		default:
			t.Fatalf("answered %d", status)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); e.post("after@example.net") != 204; {
		if time.Now().After(deadline) {
			t.Fatal("it doesn't recover")
		}
	}
	again := m.expect(t, append(accepted, "after@example.net"), 2*time.Minute)
	t.Logf("%d refused, %d accepted, %d arrived again", refused, len(accepted), again)
}

// TestDatabaseRestarts restarts PostgreSQL under load. OUTBOX_POSTGRES_RESTART is the command that does it.
func TestDatabaseRestarts(t *testing.T) {
	restart := os.Getenv("OUTBOX_POSTGRES_RESTART")
	if restart == "" {
		t.Skip("OUTBOX_POSTGRES_RESTART names no command")
	}
	run++
	m := newMandrill(t)
	e := newEdge(t, m, "outbox postgres "+dsn(t))
	restarted := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() {
		output, err := exec.Command("sh", "-c", restart).CombinedOutput()
		if err != nil {
			t.Logf("%s", output)
		}
		restarted <- err
	})
	var hooks atomic.Int64
	accepted := loadFor(t, 8*time.Second, &hooks, e)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	again := m.expect(t, accepted, 2*time.Minute)
	t.Logf("%d accepted, %d arrived again", len(accepted), again)
	if again > workers {
		t.Errorf("%d arrived again, more than were in flight", again)
	}
}
