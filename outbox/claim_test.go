package outbox_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestClaims has callers deliver entries themselves.
func TestClaims(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		claim := func(n *outbox.New) { n.Claim = time.Hour }
		settle := func(receipt outbox.Receipt, key string, r outbox.Result) {
			t.Helper()
			if err := o.Settle(t.Context(), receipt.ID, outbox.New{Key: key, Sender: sender, Claim: time.Hour}, r); err != nil {
				t.Fatal(err)
			}
		}

		first := put(t, o, "sent", claim)
		if first.Duplicate || first.Entry.State != outbox.Sending {
			t.Errorf("%+v", first)
		}
		if again := put(t, o, "sent"); !again.Duplicate || !again.Claimed || again.ID != first.ID {
			t.Errorf("while it is sent: %+v", again)
		}
		for _, operate := range []func() error{
			func() error { return o.Retry(t.Context(), first.ID) },
			func() error { return o.Discard(t.Context(), first.ID) },
		} {
			if err := operate(); !errors.Is(err, outbox.ErrNotFound) {
				t.Errorf("the operator gets %v", err)
			}
		}
		settle(first, "sent", outbox.Result{Verdict: outbox.VerdictSent, Outcome: []outbox.Recipient{{Status: "taken"}}})
		if again := put(t, o, "sent", claim); !again.Duplicate || again.Claimed || again.Entry.State != outbox.Sent ||
			len(again.Entry.Outcome) != 1 {
			t.Errorf("after it was sent: %+v", again)
		}
		if entry := get(t, o, first.ID); entry.State != outbox.Sent || entry.Content != nil {
			t.Errorf("%+v", entry)
		}

		// Where no mail went out, the key is free.
		for _, verdict := range []outbox.Verdict{outbox.VerdictRejected, outbox.VerdictRetry} {
			first := put(t, o, "refused", claim)
			settle(first, "refused", outbox.Result{Verdict: verdict, Reason: "x"})
			if first.Duplicate {
				t.Errorf("%+v", first)
			}
		}

		unknown := put(t, o, "unknown", claim)
		settle(unknown, "unknown", outbox.Result{Verdict: outbox.VerdictUnknown})
		if again := put(t, o, "unknown", claim); !again.Duplicate || !again.Claimed || again.ID != unknown.ID {
			t.Errorf("of unknown outcome: %+v", again)
		}
		if n := o.Undelivered(); n != 1 {
			t.Errorf("%d undelivered", n)
		}
		if f.count("sent") != 1 || len(f.delivered) != 0 {
			t.Errorf("%d sent, %d delivered by the outbox", f.count("sent"), len(f.delivered))
		}
	})
}

// TestClaimIsOver has nobody settle an entry: it is dead, and the operator decides.
func TestClaimIsOver(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		claim := func(n *outbox.New) { n.Claim = time.Millisecond }
		first := put(t, o, "key", claim)
		f.waitEvents(t, "dead", 1)
		if again := put(t, o, "key", claim); again.Duplicate {
			t.Errorf("the key isn't free: %+v", again)
		}
		if err := o.Retry(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		f.waitEvents(t, "sent", 1)
		if d := f.delivered[0]; d.ID != first.ID || d.Uncertain {
			t.Errorf("%+v", d)
		}
	})
}

// TestSettledIsKept closes the outbox, and lists entries, at once after they were settled.
func TestSettledIsKept(t *testing.T) {
	each(t, func(t *testing.T, c outbox.Config) {
		o := open(t, c, newFake(sent))
		var settling sync.WaitGroup
		for n := range 300 {
			settling.Go(func() {
				entry := outbox.New{Key: strconv.Itoa(n), Sender: sender, Claim: time.Hour}
				receipt, err := o.Put(t.Context(), entry)
				if err != nil {
					t.Error(err)
					return
				}
				if err := o.Settle(t.Context(), receipt.ID, entry, outbox.Result{Verdict: outbox.VerdictSent}); err != nil {
					t.Error(err)
				}
				if got, err := o.Get(t.Context(), receipt.ID); n%10 == 0 && (err != nil || got.State != outbox.Sent) {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		settling.Wait()
		if n := o.Undelivered(); n > 128 {
			t.Errorf("%d undelivered", n)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		o = open(t, c, newFake(sent))
		status, err := o.Status(t.Context())
		if err != nil || status.Counts[outbox.Sent] != 300 || o.Undelivered() != 0 {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
