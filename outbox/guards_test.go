package outbox

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// quiet delivers nothing.
type quiet struct{}

func (quiet) Deliver(context.Context, Delivery) Result { return Result{Verdict: VerdictRetry} }

// inside runs a test in a bubble with an outbox that is not started, and what it tells.
func inside(t *testing.T, test func(t *testing.T, o *Outbox, events *[]string)) {
	synctest.Test(t, func(t *testing.T) {
		var events []string
		settings := Settings{
			Senders: []string{"example.com"}, Deliverer: quiet{}, Notify: func(e Event) { events = append(events, e.Name) },
		}
		o, err := Open(t.Context(), Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}, settings)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, o, &events)
	})
}

func putOne(t *testing.T, o *Outbox) string {
	t.Helper()
	receipt, err := o.Put(t.Context(), New{Key: o.NewID(), Sender: "example.com", Content: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.ID
}

func exec(t *testing.T, o *Outbox, query string, args ...any) int64 {
	t.Helper()
	changed, err := o.store.Load().exec(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// claimOne makes an entry one that a worker has claimed.
func claimOne(t *testing.T, o *Outbox, id string) *claimed {
	t.Helper()
	exec(t, o, "UPDATE entry SET state = 'sending', attempt = attempt + 1 WHERE id = $1", id)
	rows, err := o.store.Load().whole(t.Context(), id)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	return &claimed{row: rows[0], began: time.Now()}
}

// TestFence lets a worker write only while the attempt is its own, and recognises what it has written before.
func TestFence(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, events *[]string) {
		s := o.store.Load()
		c := claimOne(t, o, putOne(t, o))
		again := *c.row
		if err := o.end(t.Context(), s, c, Sent, ""); err != nil {
			t.Fatal(err)
		}
		// The answer to the commit was lost, and it is repeated.
		if err := o.end(t.Context(), s, &claimed{row: &again}, Sent, ""); err != nil {
			t.Fatal(err)
		}
		if strings.Join(*events, " ") != "sent sent" {
			t.Errorf("events %v", *events)
		}
		*events = nil
		stale := claimOne(t, o, putOne(t, o))
		claimOne(t, o, stale.ID) // by another process
		if err := o.end(t.Context(), s, stale, Sent, ""); !errors.Is(err, errTaken) {
			t.Fatal(err)
		}
		if entry, err := o.Get(t.Context(), stale.ID); err != nil || entry.State != Sending ||
			strings.Join(*events, " ") != "lost" {
			t.Errorf("%+v, %v, events %v", entry, err, *events)
		}
	})
}

// TestTakenWhileLookedUp has a look-up report nothing of an entry that the operator has discarded meanwhile.
func TestTakenWhileLookedUp(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, events *[]string) {
		id := putOne(t, o)
		exec(t, o, "UPDATE entry SET state = 'uncertain' WHERE id = $1", id)
		rows, err := o.store.Load().whole(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Discard(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		*events = nil
		err = o.end(t.Context(), o.store.Load(), &claimed{row: rows[0]}, Sent, "found")
		if !errors.Is(err, errTaken) || len(*events) > 0 || o.Undelivered() != 0 {
			t.Errorf("%v, events %v, %d undelivered", err, *events, o.Undelivered())
		}
	})
}

// TestSettledDuringTakeover keeps the key of an entry that was settled while it was being taken over.
func TestSettledDuringTakeover(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		s := o.store.Load()
		entry := New{Key: "k", Sender: "example.com", Content: []byte("x"), Claim: time.Minute}
		receipt, err := o.Put(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.whole(t.Context(), receipt.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Settle(t.Context(), receipt.ID, entry, Result{Verdict: VerdictSent}); err != nil {
			t.Fatal(err)
		}
		if err := o.interrupted(t.Context(), s, rows[0]); err != nil {
			t.Fatal(err)
		}
		if again, err := o.Put(t.Context(), entry); err != nil || !again.Duplicate || again.ID != receipt.ID {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// TestSettledLeavesNothing forgets an entry that was not sent, with the hashes of its recipients.
func TestSettledLeavesNothing(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		entry := New{
			Key: "k", Sender: "example.com", Content: []byte("x"), Claim: time.Minute, Recipients: []string{"a@example.net"},
		}
		receipt, err := o.Put(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Settle(t.Context(), receipt.ID, entry, Result{Verdict: VerdictHold}); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"entry", "recipient"} {
			n, err := o.store.Load().number(t.Context(), "SELECT count(*) FROM "+table)
			if err != nil || n != 0 {
				t.Errorf("%d rows in %s, %v", n, table, err)
			}
		}
	})
}

// TestTwoHolds keeps the reason and the probe of each hold apart.
func TestTwoHolds(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		s, now := o.store.Load(), o.now()
		account := o.accountOf(s, o.settings.Load(), "example.com")
		domain := Hold{Scope: ScopeDomain, Target: "example.com", Reason: "unsigned", Since: now, Probe: now}
		key := Hold{Scope: ScopeKey, Target: account, Reason: "PaymentRequired", Since: now, Probe: now.Add(time.Hour)}
		for _, h := range []Hold{domain, key} {
			if err := o.beginHold(t.Context(), s, h, now); err != nil {
				t.Fatal(err)
			}
		}
		held := func() map[Scope]*Hold {
			if err := o.readHolds(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			found := make(map[Scope]*Hold)
			for _, h := range o.holdsOf(lane{sender: "example.com"}, account) {
				found[h.Scope] = h
			}
			return found
		}
		_, err := o.Admit(t.Context(), New{ID: o.NewID(), Sender: "example.com"})
		if h := held()[ScopeDomain]; !errors.Is(err, ErrHeld) || h.generation != 1 || h.Probe.After(now) {
			t.Errorf("admitted: %v; the probe of the domain was taken: %+v", err, h)
		}
		both := []*Hold{held()[ScopeDomain], held()[ScopeKey]}
		c := &claimed{row: &row{Entry: Entry{State: Sending, Sender: "example.com"}}, account: account, probed: both}
		again := Result{Verdict: VerdictHold, Scope: ScopeKey, Reason: "suspended", After: 30 * time.Minute}
		if err := o.judgeHolds(t.Context(), s, c, again); err != nil {
			t.Fatal(err)
		}
		after := held()
		if after[ScopeDomain].Reason != "unsigned" || after[ScopeKey].Reason != "suspended" ||
			after[ScopeDomain].Probe.After(now.Add(lastProbe[ScopeDomain])) {
			t.Errorf("domain %+v, key %+v", after[ScopeDomain], after[ScopeKey])
		}
		c.probed = []*Hold{after[ScopeDomain], after[ScopeKey]}
		if err := o.judgeHolds(t.Context(), s, c, Result{Verdict: VerdictRetry, Reason: "503"}); err != nil {
			t.Fatal(err)
		}
		if after = held(); after[ScopeDomain].Reason != "unsigned" || after[ScopeKey].Reason != "suspended" {
			t.Errorf("domain %+v, key %+v", after[ScopeDomain], after[ScopeKey])
		}
	})
}

// TestPutAgain repeats an insertion whose answer was lost.
func TestPutAgain(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		s := o.store.Load()
		entry := New{ID: o.NewID(), Key: "key", Sender: "example.com"}
		r := o.newRow(s, &entry)
		for range 2 {
			receipt, done, err := o.insert(t.Context(), s, &entry, r, "")
			if err != nil || !done || receipt.Duplicate || receipt.ID != entry.ID {
				t.Errorf("%+v, %t, %v", receipt, done, err)
			}
		}
	})
}

// TestLostClaim starts what was claimed by a statement whose answer was lost, but for what is known.
func TestLostClaim(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		s := o.store.Load()
		known, lost, others := putOne(t, o), putOne(t, o), putOne(t, o)
		for id, owner := range map[string]string{known: "this", lost: "this", others: "other"} {
			exec(t, o, "UPDATE entry SET state = 'sending', lease = 1, attempt = 1, owner = $2 WHERE id = $1", id, owner)
		}
		if err := o.claimedBy(s, "this", []*row{{Entry: Entry{ID: known}}}, t.Context()); err != nil {
			t.Fatal(err)
		}
		o.working.Wait()
		for id, want := range map[string]State{known: Sending, lost: Retrying, others: Sending} {
			if entry, err := o.Get(t.Context(), id); err != nil || entry.State != want {
				t.Errorf("%+v, %v", entry, err)
			}
		}
	})
}

// TestStrays takes up what no worker has: the claim was committed and its answer lost, or the worker was cut off.
func TestStrays(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, events *[]string) {
		stray := claimOne(t, o, putOne(t, o))
		atWork := claimOne(t, o, putOne(t, o))
		o.inHand[atWork.ID] = true
		if err := o.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for id, want := range map[string]State{stray.ID: Uncertain, atWork.ID: Sending} {
			if got, err := o.Get(t.Context(), id); err != nil || got.State != want {
				t.Errorf("%s: %+v, %v", want, got, err)
			}
		}
	})
}

// TestTakenOver finds what a process was sending when it was killed: it is uncertain at first, and dead after a second
// time.
func TestTakenOver(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, events *[]string) {
		s := o.store.Load()
		id := putOne(t, o)
		for _, want := range []State{Uncertain, Dead} {
			claimOne(t, o, id)
			if err := o.takeUpStrays(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if entry, err := o.Get(t.Context(), id); err != nil || entry.State != want || !entry.Uncertain ||
				entry.Content == nil {
				t.Errorf("%+v, %v", entry, err)
			}
		}
		if o.Undelivered() != 0 || strings.Join(*events, " ") != "interrupted dead" {
			t.Errorf("%d undelivered, events %v", o.Undelivered(), *events)
		}
	})
}

// TestOneProbe gives a probe to one process alone.
func TestOneProbe(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		s := o.store.Load()
		id := putOne(t, o)
		now := o.now()
		hold := Hold{Scope: ScopeDomain, Target: "example.com", Probe: now, Since: now, delay: time.Second}
		if err := o.beginHold(t.Context(), s, hold, now); err != nil {
			t.Fatal(err)
		}
		lanes, _, err := o.readLanes(t.Context(), s)
		if err != nil || len(lanes) != 1 {
			t.Fatal(lanes, err)
		}
		account := o.accountOf(s, o.settings.Load(), "example.com")
		held := o.holdsOf(lanes[0], account)
		for n, want := range []int64{1, 0} {
			// Both processes have read the same holds.
			prober := o.NewID()
			probe := claimProbe(held[0], prober, now)
			taking := o.claimStatement(s, claim{lane: lanes[0], account: account, n: 1, probed: held}, o.process, prober, now)
			taking.Row = func(scan func(...any) error) error { _, err := readClaimed(scan); return err }
			if err := s.Write(t.Context(), &database.Write{Statements: []*database.Statement{probe, taking}}); err != nil {
				t.Fatal(err)
			}
			if probe.Changed != want || taking.Changed != want {
				t.Errorf("process %d makes %d probes with %d entries", n, probe.Changed, taking.Changed)
			}
			exec(t, o, "UPDATE entry SET state = 'pending' WHERE id = $1", id)
		}
	})
}

// TestUnsentProbe has a probe send nothing after all: another one comes soon, without the time that one may take.
func TestUnsentProbe(t *testing.T) {
	for name, change := range map[string]func(*claimed){
		"expired": func(c *claimed) { c.Expires = time.Now() },
		"sealed":  func(c *claimed) { c.stored = []byte{sealedContent, 1, 2, 3, 4, 5} },
	} {
		t.Run(name, func(t *testing.T) {
			inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
				s := o.store.Load()
				c := claimOne(t, o, putOne(t, o))
				change(c)
				now := o.now()
				hold := Hold{Scope: ScopeKey, Probe: now, Since: now, delay: time.Second}
				if err := o.beginHold(t.Context(), s, hold, now); err != nil {
					t.Fatal(err)
				}
				held := o.holdsOf(lane{sender: "example.com"}, "")[0]
				probe := &database.Write{Statements: []*database.Statement{claimProbe(held, "me", now)}}
				if err := s.Write(t.Context(), probe); err != nil {
					t.Fatal(err)
				}
				held.generation++
				c.probed = []*Hold{held}
				if err := o.work(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if err := o.readHolds(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				next := o.holdsOf(lane{sender: "example.com"}, "")[0].Probe.Sub(now)
				if next > 2*time.Second {
					t.Errorf("the next probe comes after %v", next)
				}
			})
		})
	}
}

// TestClockSetBack makes due what is due too late.
func TestClockSetBack(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		waits, looked, soon := putOne(t, o), putOne(t, o), putOne(t, o)
		later := o.now().Add(2 * time.Hour).UnixMilli()
		exec(t, o, "UPDATE entry SET due = $1 WHERE id = $2", later, waits)
		exec(t, o, "UPDATE entry SET due = $1, state = 'uncertain' WHERE id = $2", later, looked)
		exec(t, o, "UPDATE entry SET due = $1 WHERE id = $2", o.now().Add(10*time.Minute).UnixMilli(), soon)
		exec(t, o, "INSERT INTO hold (scope, target, sender, reason, since, entry, probe, delay, generation, prober) "+
			"VALUES ('key', 'x', '', '', 0, '', $1, 0, 1, '')", later)
		time.Sleep(maintainInterval + time.Second)
		for id, want := range map[string]bool{waits: true, looked: true, soon: false} {
			if entry, err := o.Get(t.Context(), id); err != nil || entry.Due.After(o.now()) == want {
				t.Errorf("due in %v, %v", entry.Due.Sub(o.now()), err)
			}
		}
		probe, err := o.store.Load().number(t.Context(), "SELECT probe FROM hold")
		if err != nil || probe > o.now().UnixMilli() {
			t.Errorf("probed at %d, %v", probe, err)
		}
	})
}

// TestSealedForItsEntry opens the content of an entry in no other's place.
func TestSealedForItsEntry(t *testing.T) {
	aead, err := newAEAD(randomBytes(KeySize))
	if err != nil {
		t.Fatal(err)
	}
	own := dataKey{[4]byte{1}, aead}
	v := &vault{own: &own, keys: []dataKey{own}}
	stored := v.seal("one", []byte("content"))
	if content, err := v.open("one", stored); err != nil || string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := v.open("two", stored); !errors.Is(err, errDamaged) {
		t.Errorf("in another's place: %v", err)
	}
	stored[len(stored)-1]++
	if _, err := v.open("one", stored); !errors.Is(err, errDamaged) {
		t.Errorf("damaged: %v", err)
	}
}

// TestHashesAreKeyed hashes the same address and account differently in each outbox.
func TestHashesAreKeyed(t *testing.T) {
	one, other := randomBytes(KeySize), randomBytes(KeySize)
	if hashRecipient(one, "ada@example.net") == hashRecipient(other, "ada@example.net") {
		t.Error("the hashes of an address are the same")
	}
	if hashAccount(one, "key") == hashAccount(other, "key") {
		t.Error("the hashes of an account are the same")
	}
	if hash := hashRecipient(one, "ada@example.net"); hash != hashRecipient(one, "Ada@Example.net") || !IsHash(hash) {
		t.Errorf("hash %s", hash)
	}
}

// TestNoteBesideADamagedEntry keeps the events of a batch although the entry of one of them cannot be read.
func TestNoteBesideADamagedEntry(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		damaged, other := putOne(t, o), putOne(t, o)
		exec(t, o, "UPDATE entry SET outcome = '{' WHERE id = $1", damaged)
		var heard []Heard
		for _, id := range []string{damaged, other} {
			heard = append(heard, Heard{Entry: id, MailEvent: MailEvent{Time: time.Now(), Event: "open"}})
		}
		noted, err := o.Note(t.Context(), heard)
		if err != nil || noted[0].Entry.ID != "" || !noted[0].New || noted[1].Entry.ID != other || !noted[1].New {
			t.Errorf("noted %+v, %v", noted, err)
		}
	})
}
