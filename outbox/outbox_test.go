package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	events    []outbox.Event
	changed   chan struct{}
}

func newFake(deliver func(d outbox.Delivery, n int) outbox.Result) *fake {
	return &fake{deliver: deliver, changed: make(chan struct{})}
}

func sent(outbox.Delivery, int) outbox.Result { return outbox.Result{Verdict: outbox.VerdictSent} }

// resend delivers too, and finds nothing of what is uncertain.
func resend(d outbox.Delivery, _ int) outbox.Result {
	if d.Uncertain {
		return outbox.Result{Verdict: outbox.VerdictResend, Reason: "it was not found"}
	}
	return outbox.Result{Verdict: outbox.VerdictSent}
}

func (f *fake) Deliver(_ context.Context, d outbox.Delivery) outbox.Result {
	f.mu.Lock()
	f.delivered = append(f.delivered, d)
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
	patience := 2 * time.Hour // in a bubble, it passes at once
	if strings.HasSuffix(t.Name(), "/postgres") {
		patience = time.Minute
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

// each runs a test on SQLite, and on PostgreSQL where OUTBOX_POSTGRES_DSN names a database.
func each(t *testing.T, test func(t *testing.T, c outbox.Config)) {
	t.Run("sqlite", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")})
		})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, outbox.Config{Postgres: postgres(t)})
	})
}

// postgres returns the DSN of an empty schema of its own.
func postgres(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("OUTBOX_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("OUTBOX_POSTGRES_DSN names no database")
	}
	schema := fmt.Sprintf("t%d", time.Now().UnixNano())
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Error(err)
		}
	})
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return dsn + separator + "search_path=" + schema
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
	entry := outbox.New{Key: key, Sender: sender, Hook: "/welcome", Template: "welcome.jsonnet", Recipients: []string{"Ada@example.net"}, Content: []byte("content of " + key + "\x00")}
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

func TestDelivers(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictSent, Outcome: []outbox.Recipient{{Status: "sent", ID: "m1"}}}
		})
		o := open(t, c, f)
		receipt := put(t, o, "one")
		if entry := get(t, o, receipt.ID); entry.State != outbox.Pending || string(entry.Content) != "content of one\x00" || o.Undelivered() != 1 {
			t.Errorf("before the start: %+v, %d undelivered", entry, o.Undelivered())
		}
		start(t, o)
		f.waitEvents(t, "sent", 1)
		entry := get(t, o, receipt.ID)
		if entry.State != outbox.Sent || entry.Content != nil || len(entry.Outcome) != 1 || entry.Ended.IsZero() || o.Undelivered() != 0 {
			t.Errorf("after it: %+v", entry)
		}
		if d := f.delivered[0]; string(d.Content) != "content of one\x00" || d.Sender != sender || d.Hook != "/welcome" || d.Uncertain || d.Unrendered {
			t.Errorf("delivered %+v", d)
		}
		// What comes while it runs is delivered at once.
		put(t, o, "two")
		f.waitEvents(t, "sent", 2)
	})
}

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		verdict := outbox.VerdictSent
		f := newFake(func(outbox.Delivery, int) outbox.Result { return outbox.Result{Verdict: verdict, Reason: "x"} })
		o := open(t, c, f)
		first := put(t, o, "key")
		again := put(t, o, "key")
		if first.Duplicate || !again.Duplicate || again.ID != first.ID || again.Entry.State != outbox.Pending {
			t.Errorf("first %+v, again %+v", first, again)
		}
		start(t, o)
		f.waitEvents(t, "sent", 1)
		if again := put(t, o, "key"); !again.Duplicate || again.ID != first.ID || again.Entry.State != outbox.Sent {
			t.Errorf("after it was sent: %+v", again)
		}
		// An entry that ended without a mail leaves its key free.
		for _, ends := range []struct {
			verdict outbox.Verdict
			event   string
		}{{outbox.VerdictRejected, "rejected"}, {outbox.VerdictDead, "dead"}, {outbox.VerdictDiscarded, "discarded"}} {
			verdict = ends.verdict
			first := put(t, o, ends.event)
			f.waitEvents(t, ends.event, 1)
			if again := put(t, o, ends.event); again.Duplicate || again.ID == first.ID {
				t.Errorf("%s: %+v", ends.event, again)
			}
			f.waitEvents(t, ends.event, 2)
		}
		// A key is remembered as long as it is to be.
		verdict = outbox.VerdictSent
		short := func(n *outbox.New) { n.Remember = time.Millisecond }
		first = put(t, o, "short", short)
		f.waitEvents(t, "sent", 2)
		time.Sleep(time.Millisecond)
		if again := put(t, o, "short", short); again.Duplicate || again.ID == first.ID {
			t.Errorf("after its time: %+v", again)
		}
		f.waitEvents(t, "sent", 3)
	})
}

func TestManyCallersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		const callers, each, same = 32, 20, 4
		var putting sync.WaitGroup
		for caller := range callers {
			putting.Go(func() {
				for n := range each {
					// Some callers have the same keys.
					if _, err := o.Put(t.Context(), outbox.New{Key: fmt.Sprintf("%d-%d", caller/same, n), Sender: sender, Content: []byte("x")}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		putting.Wait()
		f.waitEvents(t, "sent", callers*each/same)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.delivered) != callers*each/same {
			t.Errorf("%d delivered", len(f.delivered))
		}
	})
}

func TestRetries(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			if n == 1 {
				return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "status 500"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); len(entry.Attempts) != 2 || entry.Attempts[0].Reason != "status 500" {
			t.Errorf("attempts %+v", entry.Attempts)
		}
	})
}

func TestHolds(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		var mu sync.Mutex
		suspended := true
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			mu.Lock()
			defer mu.Unlock()
			if suspended {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "PaymentRequired"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Workers = 4; s.RetryFor = time.Nanosecond })
		for n := range 20 {
			put(t, o, fmt.Sprint(n))
		}
		start(t, o)
		f.waitEvents(t, "hold", 1)
		status, err := o.Status(t.Context())
		if err != nil || status.Holds[sender].Reason != "PaymentRequired" {
			t.Errorf("status %+v, %v", status, err)
		}
		// One entry probes while all others wait.
		f.wait(t, "a probe", func() bool { return len(f.delivered) == 5 })
		mu.Lock()
		suspended = false
		mu.Unlock()
		f.waitEvents(t, "sent", 20)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.count("release") != 1 || f.count("dead") != 0 || len(f.delivered) != 5+20 {
			t.Errorf("%d releases, %d dead, %d deliveries", f.count("release"), f.count("dead"), len(f.delivered))
		}
	})
}

func TestDiscardWhileHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key")
		f.waitEvents(t, "hold", 1)
		eventually(t, "the entry to wait", func() bool { return get(t, o, receipt.ID).State == outbox.Pending })
		if entries, err := o.List(t.Context(), outbox.Filter{States: []outbox.State{outbox.Pending}}); err != nil || len(entries) != 1 {
			t.Errorf("listed %+v, %v", entries, err)
		}
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Errorf("retrying what waits: %v", err)
		}
		if err := o.Discard(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		// The worker notices when it comes to its turn, and leaves the probe to another.
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		put(t, o, "other")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Discarded {
			t.Errorf("%+v", entry)
		}
	})
}

func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.KeepContent = true })
		start(t, o)
		soon := func(n *outbox.New) { n.Expires, n.Private = time.Now().Add(50*time.Millisecond), true }
		receipt := put(t, o, "key", soon)
		f.waitEvents(t, "expired", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Expired || entry.Content != nil {
			t.Errorf("%+v", entry)
		}
		if again := put(t, o, "key", soon); again.Duplicate {
			t.Error("the key isn't free")
		}
		f.waitEvents(t, "expired", 2)
	})
}

func TestRetryForEnds(t *testing.T) {
	f := newFake(func(outbox.Delivery, int) outbox.Result {
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "status 500"}
	})
	o := open(t, outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}, f, func(s *outbox.Settings) { s.RetryFor = time.Millisecond })
	start(t, o)
	receipt := put(t, o, "key")
	f.waitEvents(t, "dead", 1)
	entry := get(t, o, receipt.ID)
	if entry.State != outbox.Dead || entry.Content == nil || !strings.Contains(entry.Reason, "status 500") || o.Undelivered() != 0 {
		t.Errorf("%+v", entry)
	}
	// The operator mends what is broken, and retries it.
	f.mu.Lock()
	f.deliver = sent
	f.mu.Unlock()
	if err := o.Retry(t.Context(), receipt.ID); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(t, "sent", 1)
	if err := o.Retry(t.Context(), receipt.ID); !errors.Is(err, outbox.ErrWiped) {
		t.Errorf("retrying what was sent: %v", err)
	}
}

func TestUnrendered(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		good := false
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch {
			case !d.Unrendered:
				return outbox.Result{Verdict: outbox.VerdictDead, Reason: "it lost its mark"}
			case !good:
				return outbox.Result{Verdict: outbox.VerdictUnrendered, Reason: "still broken"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key", func(n *outbox.New) { n.Unrendered = "template.jsonnet:1:2: broken" })
		if receipt.Entry.State != outbox.Unrendered || o.Undelivered() != 0 {
			t.Errorf("%+v, %d undelivered", receipt, o.Undelivered())
		}
		if again := put(t, o, "key"); !again.Duplicate || again.ID != receipt.ID {
			t.Errorf("the key isn't kept: %+v", again)
		}
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "unrendered", 2)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Unrendered || entry.Reason != "still broken" || string(entry.Content) != "content of key\x00" {
			t.Errorf("%+v", entry)
		}
		f.mu.Lock()
		good = true
		f.mu.Unlock()
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
	})
}

func TestListAndForget(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		var ids []string
		for n := range 5 {
			ids = append(ids, put(t, o, fmt.Sprint(n), func(e *outbox.New) {
				e.Recipients = []string{fmt.Sprintf("Person%d@example.net", n%2)}
				e.Template = fmt.Sprintf("t%d", n%3)
			}).ID)
		}
		list := func(filter outbox.Filter) (found []string) {
			entries, err := o.List(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				found = append(found, entry.ID)
			}
			return found
		}
		for name, test := range map[string]struct {
			filter outbox.Filter
			want   []string
		}{
			"all":          {outbox.Filter{}, []string{ids[4], ids[3], ids[2], ids[1], ids[0]}},
			"page":         {outbox.Filter{Limit: 2, Before: ids[3]}, []string{ids[2], ids[1]}},
			"recipient":    {outbox.Filter{Recipient: "person1@EXAMPLE.net"}, []string{ids[3], ids[1]}},
			"template":     {outbox.Filter{Template: "t2"}, []string{ids[2]}},
			"state":        {outbox.Filter{States: []outbox.State{outbox.Pending}, Sender: sender}, []string{ids[4], ids[3], ids[2], ids[1], ids[0]}},
			"other state":  {outbox.Filter{States: []outbox.State{outbox.Dead}}, nil},
			"other sender": {outbox.Filter{Sender: "example.org"}, nil},
			"since":        {outbox.Filter{Since: time.Now().Add(time.Hour)}, nil},
			"until":        {outbox.Filter{Until: time.Now().Add(time.Hour), Limit: 1}, []string{ids[4]}},
		} {
			if got := list(test.filter); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s: got %v, want %v", name, got, test.want)
			}
		}
		if err := o.Discard(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		if entry := get(t, o, ids[0]); entry.State != outbox.Discarded || entry.Content != nil {
			t.Errorf("%+v", entry)
		}
		if n, err := o.Forget(t.Context(), "Person0@example.net"); n != 3 || err != nil || o.Undelivered() != 2 {
			t.Errorf("forgot %d, %v; %d undelivered", n, err, o.Undelivered())
		}
		if _, err := o.Get(t.Context(), ids[2]); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("after it was forgotten: %v", err)
		}
		status, err := o.Status(t.Context())
		if err != nil || status.Counts[outbox.Pending] != 2 || status.Oldest[outbox.Pending].IsZero() {
			t.Errorf("status %+v, %v", status, err)
		}
	})
}

func TestUnknownSenderWaits(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "key", func(e *outbox.New) { e.Sender = "example.org" })
		put(t, o, "other")
		f.waitEvents(t, "sent", 1)
		if entry := get(t, o, receipt.ID); entry.State != outbox.Pending {
			t.Errorf("%+v", entry)
		}
		status, err := o.Status(t.Context())
		if err != nil || status.Unknown["example.org"] != 1 {
			t.Errorf("status %+v, %v", status, err)
		}
		if err := o.Configure(t.Context(), outbox.Settings{Senders: []string{sender, "example.org"}, Deliverer: f, Notify: f.notify}); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 2)
	})
}

// TestSenderGoesWhileItIsHeld takes an account away whose entries wait, and gives it back.
func TestSenderGoesWhileItIsHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
		})
		o := open(t, c, f)
		start(t, o)
		for n := range 5 {
			put(t, o, fmt.Sprint(n))
		}
		f.waitEvents(t, "hold", 1)
		if err := o.Configure(t.Context(), outbox.Settings{Deliverer: f, Notify: f.notify}); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		f.deliver = sent
		f.mu.Unlock()
		if n := o.Undelivered(); n != 5 {
			t.Errorf("%d undelivered", n)
		}
		if holds := o.HoldsBySender(); len(holds) > 0 {
			t.Errorf("the hold outlasts the account: %+v", holds)
		}
		if err := o.Configure(t.Context(), outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: f, Notify: f.notify}); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 5)
	})
}

func TestFull(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent), func(s *outbox.Settings) { s.MaxPending = 2 })
		put(t, o, "1")
		put(t, o, "2")
		for range 2 {
			if _, err := o.Put(t.Context(), outbox.New{Key: "3", Sender: sender}); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("got %v", err)
			}
		}
		if again := put(t, o, "2"); !again.Duplicate {
			t.Errorf("what is known: %+v", again)
		}
		// What can't be rendered doesn't count.
		if first := put(t, o, "4", func(n *outbox.New) { n.Unrendered = "broken" }); first.Duplicate || o.Undelivered() != 2 {
			t.Errorf("%+v, %d undelivered", first, o.Undelivered())
		}
	})
}

func TestStopAndStartAgain(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		release := make(chan struct{})
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			if n == 1 {
				<-release
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		if err := o.Stop(t.Context()); err != nil {
			t.Errorf("stopping before the start: %v", err)
		}
		start(t, o)
		put(t, o, "in flight")
		f.wait(t, "the delivery", func() bool { return len(f.delivered) == 1 })
		stopped := make(chan error)
		go func() { stopped <- o.Stop(context.Background()) }()
		// Hooks that come during the stop are stored.
		put(t, o, "late")
		close(release)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if err := o.Stop(t.Context()); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
		f.waitEvents(t, "sent", 1)
		start(t, o)
		f.waitEvents(t, "sent", 2)
		if len(f.delivered) != 2 {
			t.Errorf("%d deliveries", len(f.delivered))
		}
	})
}

// TestWipedContentLeavesTheDisk looks for content in the files before and after its entry has ended.
func TestWipedContentLeavesTheDisk(t *testing.T) {
	f := newFake(sent)
	c := outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}
	o := open(t, c, f)
	put(t, o, "key", func(e *outbox.New) { e.Content = []byte("c0ntent") })
	onDisk := func() bool {
		found := false
		for _, file := range []string{c.SQLite, c.SQLite + "-wal"} {
			data, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(data), "c0ntent")
		}
		return found
	}
	if !onDisk() {
		t.Error("the content isn't where it is looked for")
	}
	start(t, o)
	f.waitEvents(t, "sent", 1)
	// Forgetting somebody truncates the WAL, as the maintenance does from time to time.
	if _, err := o.Forget(t.Context(), "nobody@example.net"); err != nil {
		t.Fatal(err)
	}
	if onDisk() {
		t.Error("the content is still there")
	}
}

func TestOneProcessHasTheFile(t *testing.T) {
	c := outbox.Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}
	open(t, c, newFake(sent))
	if _, err := outbox.Open(t.Context(), c, outbox.Settings{}); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("opened twice: %v", err)
	}
	if info, err := os.Stat(c.SQLite); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestDatabaseAwayAtTheStart(t *testing.T) {
	f := newFake(sent)
	o := open(t, outbox.Config{Postgres: "postgres://nobody:s3cret@127.0.0.1:1/none"}, f)
	start(t, o)
	_, err := o.Put(t.Context(), outbox.New{Key: "key", Sender: sender})
	if !errors.Is(err, outbox.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

// TestReloadWhileHeld mends an account by new settings: the held entries go by them, at once.
func TestReloadWhileHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		broken := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "invalid key"}
		})
		o := open(t, c, broken, func(s *outbox.Settings) { s.Workers = 2 })
		start(t, o)
		for n := range 5 {
			put(t, o, fmt.Sprint(n))
		}
		broken.waitEvents(t, "hold", 1)
		mended := newFake(sent)
		if err := o.Configure(t.Context(), outbox.Settings{Senders: []string{sender}, Workers: 2, Deliverer: mended, Notify: mended.notify}); err != nil {
			t.Fatal(err)
		}
		mended.waitEvents(t, "sent", 5)
	})
}

// TestCrashingDeliverer panics while it probes: the sender isn't held for ever, and the entry ends.
func TestCrashingDeliverer(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			switch n {
			case 1:
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
			case 2:
				panic("crash")
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		put(t, o, "one")
		f.waitEvents(t, "hold", 1)
		put(t, o, "two")
		f.waitEvents(t, "sent", 1)
		if f.count("release") != 1 {
			t.Errorf("%d releases of %v", f.count("release"), f.counts())
		}
	})
}

// TestRenderedLater has an entry become what its template makes of it.
func TestRenderedLater(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		const second = "second.example"
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Unrendered {
				return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &outbox.New{
					Sender: second, Content: []byte("rendered"), Recipients: []string{"grace@example.net"}, Private: true, Expires: time.Now().Add(time.Hour),
				}}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Senders, s.KeepContent = []string{sender, second}, true })
		start(t, o)
		receipt := put(t, o, "one", func(n *outbox.New) { n.Unrendered = "broken" })
		if err := o.Retry(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		entry := get(t, o, receipt.ID)
		if entry.Sender != second || !entry.Private || entry.Content != nil || entry.Expires.IsZero() || string(f.delivered[1].Content) != "rendered" {
			t.Errorf("%+v", entry)
		}
		for address, want := range map[string]int{"grace@example.net": 1, "Ada@example.net": 0} {
			found, err := o.List(t.Context(), outbox.Filter{Recipient: address})
			if err != nil || len(found) != want {
				t.Errorf("%s finds %d, %v", address, len(found), err)
			}
		}
	})
}

// TestDeadAndPrivate wipes a code when it is of no more use, and keeps the dead entry in sight.
func TestDeadAndPrivate(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictDead, Reason: "refused"}
		})
		o := open(t, c, f)
		start(t, o)
		receipt := put(t, o, "one", func(n *outbox.New) { n.Private, n.Expires = true, time.Now().Add(time.Second) })
		f.waitEvents(t, "dead", 1)
		eventually(t, "its content to be wiped", func() bool { return get(t, o, receipt.ID).Content == nil })
		if entry := get(t, o, receipt.ID); entry.State != outbox.Dead {
			t.Errorf("%+v", entry)
		}
	})
}

// TestForgetHeld erases a person whose mail waits in a worker's hands.
func TestForgetHeld(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, n int) outbox.Result {
			if n == 1 {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "suspended"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f)
		start(t, o)
		put(t, o, "one")
		f.waitEvents(t, "hold", 1)
		eventually(t, "the entry to be erased", func() bool {
			n, err := o.Forget(t.Context(), "ada@example.net")
			return n == 1 && err == nil
		})
		put(t, o, "two", func(n *outbox.New) { n.Recipients = nil })
		f.waitEvents(t, "sent", 1)
		if len(f.delivered) != 2 {
			t.Errorf("%d deliveries", len(f.delivered))
		}
	})
}
