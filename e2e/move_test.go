package e2e

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// move runs `outbox move` to the outbox of the edge's configuration. It is killed as often as given, each
// time a moment later than the last one.
func (e *edge) move(from string, kills int) (output string) {
	e.t.Helper()
	for n := range kills + 1 {
		command := exec.Command(binary, "mailchimp", "outbox", "move", "--from", from, "--config", e.config)
		command.Env = e.process.Env
		if n == kills {
			output, err := command.CombinedOutput()
			if err != nil {
				e.t.Fatalf("%v\n%s", err, output)
			}
			return string(output)
		}
		if err := command.Start(); err != nil {
			e.t.Fatal(err)
		}
		time.Sleep(time.Duration(150+rand.IntN(100)+50*n) * time.Millisecond)
		_ = command.Process.Kill()
		if err := command.Wait(); err == nil {
			e.t.Logf("the move had ended before kill %d", n+1)
		}
	}
	return output
}

// TestMove moves what waits in SQLite to PostgreSQL, and back to another file. The command is killed some
// times on its way. Then all of it is sent, once.
func TestMove(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Status: 402, Name: "PaymentRequired"})
	accepted := loadFor(t, 3*time.Second, e)
	e.kill()
	file, back := filepath.Join(e.folder, "outbox.db"), filepath.Join(e.folder, "back.db")
	const kills = 5

	e.write("Caddyfile", e.caddyfile("outbox postgres "+database, hookSite))
	t.Logf("to PostgreSQL: %s", e.move(file, kills))
	if output := e.move(file, 0); !strings.Contains(output, "0 entries moved") {
		t.Errorf("moved again: %s", output)
	}
	e.start()
	e.countsEntries(len(accepted), len(accepted)+20)
	accepted = append(accepted, loadFor(t, time.Second, e)...)
	e.kill()
	time.Sleep(25 * time.Second) // a lease of what was being sent ends by itself

	e.write("Caddyfile", e.caddyfile("outbox sqlite FOLDER/back.db", hookSite))
	t.Logf("back to SQLite: %s", e.move(database, kills))
	e.start()
	e.countsEntries(len(accepted), len(accepted)+20)
	if info, err := os.Stat(back); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	m.Recover()
	again := m.expect(t, accepted, 2*time.Minute)
	t.Logf("%d accepted, %d arrived again", len(accepted), again)
	if again != 0 {
		t.Errorf("%d arrived again", again)
	}
}

// countsEntries waits until there are so many entries, and some at most that were accepted although their callers were
// not told. The counts of the states are not of one moment.
func (e *edge) countsEntries(from, to int) {
	e.t.Helper()
	waitFor(e.t, fmt.Sprintf("%d to %d entries", from, to), func() bool {
		total := 0
		for _, n := range e.counts() {
			total += n
		}
		return total >= from && total <= to
	})
}

// TestBackup copies the outbox under load. A second Caddy opens the copy and has all that was accepted before.
func TestBackup(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Status: 402, Name: "PaymentRequired"})
	before := loadFor(t, 2*time.Second, e)
	during := make(chan []string, 1)
	go func() { during <- loadFor(t, 2*time.Second, e) }()
	copied := filepath.Join(t.TempDir(), "copy.db")
	e.command("mailchimp", "outbox", "backup", copied)
	meanwhile := <-during
	t.Logf("%d accepted before, %d meanwhile", len(before), len(meanwhile))
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if len(meanwhile) == 0 {
		t.Error("nothing was accepted meanwhile")
	}
	m2 := newMandrill(t)
	fresh := newEdge(t, m2, "outbox sqlite "+copied)
	fresh.countsEntries(len(before), len(before)+len(meanwhile)+20)
	m2.expect(t, before, 2*time.Minute)
	if status := fresh.post("fresh@example.net"); status != http.StatusNoContent {
		t.Errorf("a hook at the copy is answered %d", status)
	}
	m2.expect(t, []string{"fresh@example.net"}, time.Minute)
}

// TestOutboxKey has the content at rest sealed by a key that `outbox key` made. Neither is the message in the
// file, nor does a Caddy without the key start.
func TestOutboxKey(t *testing.T) {
	t.Parallel()
	output, err := exec.Command(binary, "mailchimp", "outbox", "key").Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(output))
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 32 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db\noutbox_key "+key)
	fail(t, m, sandbox.Failure{Calls: 1_000_000, Status: 402, Name: "PaymentRequired"})
	if status := e.post("sealed@example.net"); status != http.StatusNoContent {
		t.Fatalf("answered %d", status)
	}
	for _, file := range []string{"outbox.db", "outbox.db-wal"} {
		if text := e.read(file); strings.Contains(text, "sealed@example.net") {
			t.Errorf("%s has the address", file)
		}
	}
	e.kill()
	sealed := e.read("Caddyfile")
	e.write("Caddyfile", e.caddyfile("outbox sqlite FOLDER/outbox.db", hookSite))
	plain := exec.Command(binary, "run", "--config", e.config)
	plain.Env, plain.Dir = e.process.Env, e.folder
	output, err = plain.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "outbox_key") {
		t.Errorf("without the key: %v, %s", err, output)
	}
	e.write("Caddyfile", sealed)
	e.start()
	m.Recover()
	m.expect(t, []string{"sealed@example.net"}, time.Minute)
}
