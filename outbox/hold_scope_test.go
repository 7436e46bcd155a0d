package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func toSubaccount(name string) func(*outbox.New) {
	return func(n *outbox.New) { n.Subaccount = name }
}

// delivered returns how often an entry was sent, look-ups not counted.
func (f *fake) sends(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, d := range f.delivered {
		if d.ID == id && d.State == outbox.Sending {
			n++
		}
	}
	return n
}

// TestHeldSubaccount keeps the entries of a paused sub-account, and no others.
func TestHeldSubaccount(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Subaccount == "paused" {
				return outbox.Result{Verdict: outbox.VerdictBacklogged, Scope: outbox.ScopeSubaccount, Reason: "sending-paused"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, c, f, func(s *outbox.Settings) { s.Workers = 4 })
		start(t, o)
		first := put(t, o, "paused 0", toSubaccount("paused")).ID
		f.waitEvents(t, "hold", 1)
		var held []string
		for n := range 40 {
			held = append(held, put(t, o, fmt.Sprint("paused ", n+1), toSubaccount("paused")).ID)
			put(t, o, fmt.Sprint("healthy ", n))
		}
		f.waitEvents(t, "sent", 40)
		if entry := get(t, o, first); entry.State != outbox.Backlogged {
			t.Errorf("what Mandrill has is %+v", entry)
		}
		for _, id := range held {
			if entry := get(t, o, id); entry.State != outbox.Pending || f.sends(id) != 0 {
				t.Fatalf("%+v was sent %d times", entry, f.sends(id))
			}
		}
		if holds := o.Holds(); len(holds) != 1 || !strings.HasSuffix(holds[0].Target, "/paused") || holds[0].Entry != first {
			t.Errorf("holds %+v", holds)
		}
	})
}

// prober says what is to be said of a hold.
type prober struct {
	*fake
	probed []time.Time
	err    error
}

func (p *prober) Probe(context.Context, outbox.Hold, outbox.Entry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed = append(p.probed, time.Now())
	return p.err
}

// TestProbeSchedule asks first whether a hold may be over, and sends nothing until it may.
func TestProbeSchedule(t *testing.T) {
	for _, test := range []struct {
		scope outbox.Scope
		// at is when the first probes come, in seconds after the hold began.
		at []int
	}{
		{outbox.ScopeKey, []int{1, 3, 7, 15, 31, 61, 91}},
		{outbox.ScopeDomain, []int{60, 180, 420, 900, 1500}},
		{outbox.ScopeSubaccount, []int{300, 600, 900}},
	} {
		t.Run(string(test.scope), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &prober{err: errors.New("not yet")}
				p.fake = newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictHold, Scope: test.scope, Reason: "x"}))
				config := outbox.Config{SQLite: t.TempDir() + "/outbox.db"}
				o := open(t, config, p.fake, func(s *outbox.Settings) { s.Deliverer = p })
				start(t, o)
				began := time.Now()
				put(t, o, "one", toSubaccount("s"))
				p.waitEvents(t, "hold", 1)
				put(t, o, "two", toSubaccount("s"))
				time.Sleep(time.Duration(test.at[len(test.at)-1])*time.Second + 500*time.Millisecond)
				p.mu.Lock()
				var at []int
				for _, probe := range p.probed {
					at = append(at, int(probe.Sub(began).Round(time.Second).Seconds()))
				}
				if fmt.Sprint(at) != fmt.Sprint(test.at) || len(p.delivered) != 1 {
					t.Errorf("probed after %v, want %v; %d delivered", at, test.at, len(p.delivered))
				}
				p.err = nil
				p.mu.Unlock()
				p.waitEvents(t, "sent", 2)
				if p.count("release") != 1 {
					t.Errorf("events %v", p.counts())
				}
			})
		})
	}
}

// TestRetryAfter waits for as long as Mandrill asks, an hour at most.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		2 * time.Minute: 2 * time.Minute, 3 * time.Hour: time.Hour, 0: time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(afterFirst(outbox.Result{
				Verdict: outbox.VerdictHold, Reason: "RequestLimitExceeded", After: after,
			}))
			o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f)
			start(t, o)
			began := time.Now()
			put(t, o, "one")
			f.waitEvents(t, "sent", 1)
			if waited := time.Since(began).Round(time.Second); waited != want {
				t.Errorf("after %v: waited %v", after, waited)
			}
		})
	}
}

// TestPoison has one entry meet holds while all others pass.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if strings.Contains(string(d.Content), "poison") {
				return outbox.Result{Verdict: outbox.VerdictHold, Reason: "403 of a firewall"}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		config := outbox.Config{SQLite: t.TempDir() + "/outbox.db"}
		o := open(t, config, f, func(s *outbox.Settings) { s.RetryFor = time.Minute })
		start(t, o)
		id := put(t, o, "poison").ID
		alone := func() []string {
			status, err := o.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return status.Alone
		}
		named := false
		for n := range 60 {
			put(t, o, fmt.Sprint("healthy ", n))
			time.Sleep(5 * time.Second)
			named = named || slices.Equal(alone(), []string{id})
		}
		f.waitEvents(t, "dead", 1)
		if left := alone(); !named || len(left) > 0 {
			t.Errorf("the status has named it: %v; and in the end: %v", named, left)
		}
		entry := get(t, o, id)
		if !strings.Contains(entry.Reason, "403 of a firewall") || f.count("hold") > 3 || f.count("sent") != 60 {
			t.Errorf("%s; %v", entry.Reason, f.counts())
		}
	})
}

// TestOutage holds an account whose answers are lost, one after the other.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := true
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			switch {
			case d.Uncertain:
				return outbox.Result{Verdict: outbox.VerdictResend, Reason: "no index"}
			case lost:
				return outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "the connection broke", After: 20 * time.Second}
			}
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f, func(s *outbox.Settings) { s.Workers = 1 })
		start(t, o)
		for n := range 20 {
			put(t, o, fmt.Sprint(n))
		}
		f.waitEvents(t, "hold", 1)
		time.Sleep(19 * time.Second)
		f.mu.Lock()
		sent := len(f.delivered)
		f.mu.Unlock()
		// Three in a row, and the probes after 1, 3, 7 and 15 s.
		if sent != 3+4 {
			t.Errorf("%d were sent into the outage", sent)
		}
		lost = false
		f.waitEvents(t, "sent", 20)
		perEntry := make(map[string]int)
		for _, d := range f.delivered {
			if !d.Uncertain {
				perEntry[d.ID]++
			}
		}
		for id, n := range perEntry {
			if n > 2 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
	})
}

// TestOutageProbe probes an account whose answers are lost with an entry that has not gone out, although others of
// another lane come first.
func TestOutageProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Uncertain {
				return outbox.Result{Verdict: outbox.VerdictResend, Reason: "no index"}
			}
			return outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "the connection broke", After: time.Second}
		})
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f, func(s *outbox.Settings) { s.Workers = 3 })
		start(t, o)
		for n := range 3 {
			put(t, o, fmt.Sprint("code ", n), func(n *outbox.New) { n.Expires = time.Now().Add(15 * time.Minute) })
		}
		f.waitEvents(t, "hold", 1)
		for n := range 9 {
			put(t, o, fmt.Sprint("plain ", n))
		}
		time.Sleep(time.Minute)
		attempts := make(map[string]int)
		f.mu.Lock()
		for _, d := range f.delivered {
			if !d.Uncertain {
				attempts[d.ID]++
			}
		}
		f.mu.Unlock()
		for id, n := range attempts {
			if n > 1 {
				t.Errorf("%s was sent %d times, and others wait", id, n)
			}
		}
	})
}

// TestIdleHold ends the hold of a domain that nothing waits for, once its account says that it sends for it.
func TestIdleHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			return outbox.Result{Verdict: outbox.VerdictHold, Scope: outbox.ScopeDomain, Reason: "unsigned"}
		})
		p := &prober{fake: f, err: errors.New("not signed")}
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f, func(s *outbox.Settings) { s.Deliverer = p })
		start(t, o)
		id := put(t, o, "key").ID
		f.waitEvents(t, "hold", 1)
		time.Sleep(time.Second)
		if err := o.Discard(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if len(o.Holds()) != 1 {
			t.Fatalf("holds: %+v", o.Holds())
		}
		p.mu.Lock()
		p.err = nil
		p.mu.Unlock()
		time.Sleep(time.Hour)
		if len(o.Holds()) != 0 || f.count("release") != 1 {
			t.Errorf("holds: %+v; %v", o.Holds(), f.counts())
		}
	})
}

// TestIdleOutage ends the hold of an account whose answers were lost, after what probed it in vain has expired.
func TestIdleOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
			if d.Uncertain {
				return outbox.Result{Verdict: outbox.VerdictResend, Reason: "no index"}
			}
			return outbox.Result{Verdict: outbox.VerdictUnknown, Reason: "the connection broke"}
		})
		p := &prober{fake: f, err: errors.New("connection refused")}
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f, func(s *outbox.Settings) {
			s.Deliverer, s.Workers = p, 1
		})
		start(t, o)
		for n := range 9 {
			put(t, o, fmt.Sprint(n), func(n *outbox.New) { n.Expires = time.Now().Add(15 * time.Minute) })
		}
		f.waitEvents(t, "hold", 1)
		time.Sleep(time.Hour)
		if holds := o.Holds(); len(holds) != 1 || !strings.Contains(holds[0].Reason, "connection refused") {
			t.Fatalf("holds: %+v", holds)
		}
		p.mu.Lock()
		p.err = nil
		p.mu.Unlock()
		time.Sleep(time.Minute)
		if len(o.Holds()) != 0 || f.count("release") != 1 {
			t.Errorf("holds: %+v; %v", o.Holds(), f.counts())
		}
	})
}

// TestLongHold costs an entry nothing, although the account accepted others before.
func TestLongHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func(_ outbox.Delivery, n int) outbox.Result {
			if n == 1 {
				return outbox.Result{Verdict: outbox.VerdictSent}
			}
			return outbox.Result{Verdict: outbox.VerdictHold, Reason: "PaymentRequired"}
		})
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f)
		start(t, o)
		put(t, o, "before")
		f.waitEvents(t, "sent", 1)
		time.Sleep(time.Hour)
		id := put(t, o, "held").ID
		time.Sleep(10 * time.Minute)
		entry := get(t, o, id)
		if entry.State != outbox.Pending || len(entry.Attempts) > 0 || f.count("retry") > 0 {
			t.Errorf("%+v; events %v", entry, f.counts())
		}
	})
}

// TestLookUpEndsHold releases what is kept back once the account has sent the message that met the hold.
func TestLookUpEndsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(afterFirst(outbox.Result{
			Verdict: outbox.VerdictBacklogged, Scope: outbox.ScopeSubaccount, Reason: "paused",
		}))
		o := open(t, outbox.Config{SQLite: t.TempDir() + "/outbox.db"}, f)
		start(t, o)
		put(t, o, "first", toSubaccount("s"))
		f.waitEvents(t, "hold", 1)
		began := time.Now()
		put(t, o, "second", toSubaccount("s"))
		f.waitEvents(t, "sent", 2)
		// The look-up comes after a minute, the hold's own probe after five.
		if waited := time.Since(began); waited > 2*time.Minute || len(o.Holds()) > 0 {
			t.Errorf("after %v; holds %+v", waited, o.Holds())
		}
	})
}
