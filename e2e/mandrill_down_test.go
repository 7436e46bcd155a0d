package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestMandrillIsDown has Mandrill fail for the whole of the load.
func TestMandrillIsDown(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]sandbox.Failure{
		"suspended":  {Calls: 1_000_000, Status: 402, Name: "PaymentRequired"},
		"rate limit": {Calls: 20, Status: 429, Name: "RequestLimitExceeded", RetryAfter: 1},
		"down":       {Calls: 1_000_000, Status: 500, Name: "GeneralError"},
		"refusing":   {Calls: 1_000_000, Reset: "before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMandrill(t)
			e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
			fail(t, m, failure)
			accepted := loadFor(t, 3*time.Second, e)
			m.Recover()
			if again := m.expect(t, accepted, 2*time.Minute); again != 0 {
				t.Errorf("%d arrived again", again)
			}
			t.Logf("%d accepted", len(accepted))
		})
	}
}

// TestReloads reloads every 100 ms under load, with other workers and timeouts each time, while calls of
// Mandrill take a while: every hook that was answered 204 arrives, once.
func TestReloads(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	fail(t, m, sandbox.Failure{Calls: 200, Delay: "300ms"})
	config := e.read("Caddyfile")
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
			changed := strings.Replace(config, "mailchimp {\n", fmt.Sprintf("mailchimp {\nworkers %d\n", 8+reloads%3), 1)
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
	accepted := loadFor(t, 6*time.Second, e)
	close(done)
	reloading.Wait()
	again := m.expect(t, accepted, 2*time.Minute)
	t.Logf("%d reloads, %d accepted", reloads, len(accepted))
	if again != 0 {
		t.Errorf("%d arrived again", again)
	}
}
