package e2e

import (
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestMove kills a Caddy whose mails wait in SQLite, and has them sent by one with PostgreSQL.
func TestMove(t *testing.T) {
	run++
	database := dsn(t)
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	if err := m.Fail(sandbox.Failure{Calls: 1_000_000, Status: 402, Name: "PaymentRequired"}); err != nil {
		t.Fatal(err)
	}
	var hooks atomic.Int64
	accepted := loadFor(t, time.Second, &hooks, e)
	e.kill()
	e.write("Caddyfile", strings.Replace(e.read("Caddyfile"), "outbox sqlite "+e.folder+"/outbox.db", "outbox postgres "+database, 1))
	move := func() string {
		t.Helper()
		command := exec.Command(binary, "mailchimp", "outbox", "move", "--from", e.folder+"/outbox.db", "--config", e.config)
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return string(output)
	}
	if output := move(); strings.Contains(output, "\n0 entries moved") {
		t.Errorf("moved nothing: %s", output)
	}
	m.Recover()
	e.start()
	again := m.expect(t, accepted, 2*time.Minute)
	if output := move(); !strings.Contains(output, "0 entries moved") {
		t.Errorf("moved again: %s", output)
	}
	t.Logf("%d accepted, %d arrived again", len(accepted), again)
	if again > 1 {
		t.Errorf("%d arrived again, more than were in flight", again)
	}
}
