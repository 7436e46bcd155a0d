package outbox_test

import (
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestSlowDelivery takes longer than a lease: no other process takes it over.
func TestSlowDelivery(t *testing.T) {
	onPostgres(t, func(t *testing.T, c outbox.Config) {
		f := newFake(func(outbox.Delivery, int) outbox.Result {
			time.Sleep(3 * outbox.LeaseEnd())
			return outbox.Result{Verdict: outbox.VerdictSent}
		})
		start(t, open(t, c, f))
		o := open(t, c, f)
		start(t, o)
		put(t, o, "key")
		f.waitEvents(t, "sent", 1)
		if len(f.delivered) != 1 || f.count("interrupted")+f.count("lost") > 0 {
			t.Errorf("%d deliveries, events %v", len(f.delivered), f.counts())
		}
	})
}

// TestTakeoverIsPatient gives other processes the time to renew their leases before it takes anything over: the
// database may have been away for all of them.
func TestTakeoverIsPatient(t *testing.T) {
	onPostgres(t, func(t *testing.T, c outbox.Config) {
		outbox.SetLeaseEnd(t, 1500*time.Millisecond)
		f := newFake(sent)
		began := time.Now()
		o := open(t, c, f)
		put(t, o, "key", func(n *outbox.New) { n.Claim = time.Millisecond })
		f.waitEvents(t, "dead", 1)
		if took := time.Since(began); took < outbox.LeaseEnd() {
			t.Errorf("taken over after %v", took)
		}
	})
}
