package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

var (
	rounds    = flag.Int("rounds", 30, "how often a Caddy with SQLite is killed")
	twoRounds = flag.Int("two-rounds", 5, "how often one of two Caddys with PostgreSQL is killed, or both")
)

// workers is how many mails a Caddy sends at once.
const workers = 32

// TestKill kills a Caddy at random moments under load: every hook that was answered 204 arrives. Where
// Mandrill finds what it received, nobody gets a mail twice; elsewhere only those whose mail was in flight at
// a kill.
func TestKill(t *testing.T) {
	bySearch(t, func(t *testing.T, m *mandrill, e *edge, searchable bool) {
		accepted := loadAndKill(t, *rounds, e)
		checkKills(t, m, accepted, searchable, e)
	})
}

// bySearch runs a test at a Mandrill whose searches find what it received, and at one whose searches find nothing.
func bySearch(t *testing.T, test func(t *testing.T, m *mandrill, e *edge, searchable bool)) {
	t.Helper()
	t.Parallel()
	for _, searchable := range []bool{true, false} {
		t.Run(map[bool]string{true: "searchable", false: "not searchable"}[searchable], func(t *testing.T) {
			t.Parallel()
			m := newMandrill(t)
			if !searchable {
				m.findNothing()
			}
			test(t, m, newEdge(t, m, "outbox sqlite FOLDER/outbox.db"), searchable)
		})
	}
}

// TestKillTwoEdges kills one of two edges on a PostgreSQL, or both at once.
func TestKillTwoEdges(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	outbox := "outbox postgres " + newDatabase(t)
	first, second := newEdge(t, m, outbox), newEdge(t, m, outbox)
	accepted := loadAndKill(t, *twoRounds, first, second)
	checkKills(t, m, accepted, true, first, second)
}

// TestKillOneOfTwoEdges kills one of two edges on a PostgreSQL for good: the other takes over within a minute.
func TestKillOneOfTwoEdges(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	outbox := "outbox postgres " + newDatabase(t)
	first, second := newEdge(t, m, outbox), newEdge(t, m, outbox)
	// Slow calls make sure that something is in flight at the kill.
	slow := time.AfterFunc(1800*time.Millisecond, func() {
		if err := m.Fail(sandbox.Failure{Calls: 2 * workers, Delay: "1s"}); err != nil {
			t.Error(err)
		}
	})
	defer slow.Stop()
	killer := time.AfterFunc(2*time.Second, first.kill)
	defer killer.Stop()
	accepted := loadFor(t, 4*time.Second, first, second)
	ended := time.Now()
	checkKills(t, m, accepted, true, second)
	t.Logf("the last one arrived within %v of the end of the load", time.Since(ended).Round(time.Second))
}

// loadAndKill kills edges under load, one or all of them, and starts them again. It returns those that were
// accepted.
func loadAndKill(t *testing.T, rounds int, edges ...*edge) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	loaded := make(chan []string, 1)
	go func() { loaded <- load(ctx, t, edges...) }()
	for range rounds {
		time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond)
		victims := edges
		if one := rand.IntN(2 * len(edges)); one < len(edges) {
			victims = edges[one : one+1]
		}
		var killing sync.WaitGroup
		for _, victim := range victims {
			killing.Go(victim.kill)
		}
		killing.Wait()
		for _, victim := range victims {
			victim.start()
			if len(edges) == 1 {
				victim.noteInterrupted()
			}
		}
	}
	time.Sleep(300 * time.Millisecond) // the last process gets some load too
	cancel()
	return <-loaded
}

// checkKills waits until nothing is undelivered any more, and checks that nothing was lost and what was sent
// again. Entries that are dead because they were in flight at two kills wait for the operator, who has them
// sent.
func checkKills(t *testing.T, m *mandrill, accepted []string, searchable bool, edges ...*edge) {
	t.Helper()
	e := edges[len(edges)-1]
	e.waitDelivered(4 * time.Minute)
	dead := 0
	for _, address := range m.missing(accepted) {
		if e.retryDead(address) {
			dead++
		}
	}
	e.waitDelivered(time.Minute)
	lost := len(m.missing(accepted))
	flight, again := m.inFlight(edges...), m.again()
	kills := 0
	for _, e := range edges {
		kills += len(e.deaths)
	}
	t.Logf("SUMMARY %s: %d kills, %d accepted, %d lost, %d dead until retried, %d second mails; in flight at the kills "+
		"%d calls without an answer, %d mails without a stored outcome",
		t.Name(), kills, len(accepted), lost, dead, again, flight.unanswered, len(flight.unstored))
	if lost > 0 {
		t.Errorf("%d are lost, the first is %s", lost, m.missing(accepted)[0])
	}
	if searchable {
		if again > 0 {
			t.Errorf("%d arrived again although Mandrill could tell", again)
		}
		return
	}
	if again > len(flight.unstored) {
		t.Errorf("%d arrived again, more than were in flight", again)
	}
	if n := m.unexplained(flight); n > 0 {
		t.Errorf("%d arrived again although they were not in flight at a kill, or more than twice", n)
	}
	if flight.stale > 0 {
		t.Errorf("of %d answers the outcome was not stored within %v", flight.stale, storing)
	}
}

// noteInterrupted notes what the process before this one was sending. It is for SQLite, where this one knows at
// once. What was in flight at an earlier kill too is dead, and not uncertain.
func (e *edge) noteInterrupted() {
	e.t.Helper()
	e.counts() // the configuration is loaded
	_, text := e.call(http.MethodPost, "outbox/search", `{"state":"uncertain","limit":1000}`)
	var found []entry
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		e.t.Fatalf("%v: %s", err, text)
	}
	e.life.Lock()
	defer e.life.Unlock()
	if e.interrupted == nil {
		e.interrupted = make(map[string]string)
	}
	for _, entry := range found {
		if e.interrupted[entry.ID] == "" { // else it is uncertain since an earlier kill
			e.interrupted[entry.ID] = e.processName(e.processes - 1)
		}
	}
}

// counts returns how many entries there are in each state.
func (e *edge) counts() map[string]int {
	e.t.Helper()
	var status struct{ Counts map[string]int }
	waitFor(e.t, "the status", func() bool { // which is there some time after the site
		_, text := e.call(http.MethodGet, "status", "")
		return json.Unmarshal([]byte(text), &status) == nil && len(status.Counts) > 0
	})
	return status.Counts
}

// waitDelivered waits until no entry is undelivered.
func (e *edge) waitDelivered(patience time.Duration) {
	e.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		counts := e.counts()
		if counts["pending"]+counts["sending"]+counts["retrying"]+counts["uncertain"] == 0 {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("entries are still undelivered: %v", counts)
		}
	}
}

// retryDead has an entry to an address sent that is dead, and reports whether there is one.
func (e *edge) retryDead(address string) bool {
	e.t.Helper()
	_, text := e.call(http.MethodPost, "outbox/search", `{"state":"dead","recipient":"`+address+`"}`)
	var found []entry
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		e.t.Fatalf("%v: %s", err, text)
	}
	if len(found) != 1 {
		return false
	}
	status, text := e.call(http.MethodPost, "outbox/"+found[0].ID+"/retry", "")
	if status != http.StatusNoContent {
		e.t.Errorf("a retry is answered %d %s", status, text)
	}
	return true
}

// TestAnswersAreCutOff breaks answers off after Mandrill took the mails: they are searched for, and sent
// again only where nothing is found.
func TestAnswersAreCutOff(t *testing.T) {
	bySearch(t, func(t *testing.T, m *mandrill, e *edge, searchable bool) {
		const cut = 20
		m.cutOffNext(cut)
		accepted := loadFor(t, time.Second, e)
		e.waitDelivered(2 * time.Minute)
		want := map[bool]int{true: 0, false: cut}[searchable]
		if again := m.expect(t, accepted, time.Second); len(accepted) < cut || again != want {
			t.Errorf("of %d accepted %d arrived again, want %d", len(accepted), again, want)
		}
	})
}

// TestKillAfterASyncAnswer kills a Caddy as soon as it has answered a sync hook: its repeat gets what was
// recorded, and nothing is sent again.
func TestKillAfterASyncAnswer(t *testing.T) {
	t.Parallel()
	m := newMandrill(t)
	e := newEdgeWith(t, m, "outbox sqlite FOLDER/outbox.db", "mailchimp_hook * t.jsonnet {\nauth off\ndelivery sync\n}\n",
		map[string]string{"t.jsonnet": template})
	for n := range min(*rounds, 20) {
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
