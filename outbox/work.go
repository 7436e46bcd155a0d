package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// sealedWait is how long an entry waits whose content cannot be opened.
const sealedWait = time.Minute

// begin starts a worker for an entry that was claimed.
func (o *Outbox) begin(ctx context.Context, c *claimed) {
	o.mu.Lock()
	o.inHand[c.ID] = true
	a := o.accountNamed(c.account)
	looksUp := c.State != Sending
	switch {
	case looksUp:
		a.lookUps++
	default:
		a.sending++
		a.pace.sent()
		a.urgent += int(toInt(c.urgent()))
	}
	o.mu.Unlock()
	for i, h := range c.probed {
		c.probed[i] = h.claimed()
	}
	o.working.Go(func() {
		err := o.safely("delivering an entry", func() error { return o.work(ctx, c) }, "entry", c.ID)
		if err != nil && !errors.Is(err, errTaken) {
			o.logger().Error("storing the outcome of an entry", "entry", c.ID, "error", err)
		}
		o.mu.Lock()
		delete(o.inHand, c.ID)
		switch {
		case looksUp:
			a.lookUps--
		case c.sent:
			a.storing--
		default:
			a.release(c)
		}
		o.mu.Unlock()
		o.wake()
	})
}

// release gives the worker of an entry back. o.mu is held.
func (a *account) release(c *claimed) {
	a.sending--
	a.urgent -= int(toInt(c.urgent()))
}

// releaseEarly lets the worker of an entry that was sent take another one while the outcome is stored.
func (o *Outbox) releaseEarly(c *claimed) {
	o.mu.Lock()
	a := o.accountNamed(c.account)
	a.release(c)
	a.storing++
	c.sent = true
	o.mu.Unlock()
	o.wake()
}

// work makes one attempt and stores what became of it.
func (o *Outbox) work(ctx context.Context, c *claimed) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if !c.Expires.IsZero() && !c.Expires.After(o.now()) {
		return errors.Join(
			o.end(ctx, s, c, Expired, "it expired before it could be sent"),
			o.extendHolds(ctx, s, c.probed, "", 0),
		)
	}
	release, err := o.loadContent(ctx, s, c)
	if err != nil {
		return errors.Join(o.later(ctx, s, c, 0), o.extendHolds(ctx, s, c.probed, "", 0), err)
	}
	defer release()
	content, err := o.vault.Load().open(c.ID, c.stored)
	if err != nil {
		return errors.Join(o.sealed(ctx, s, c, err), o.extendHolds(ctx, s, c.probed, "", 0))
	}
	if failed, reason := o.probe(ctx, c); failed != nil {
		others := slices.DeleteFunc(slices.Clone(c.probed), func(h *Hold) bool { return h == failed })
		return errors.Join(
			o.later(ctx, s, c, 0),
			o.extendHolds(ctx, s, []*Hold{failed}, reason, 0), o.extendHolds(ctx, s, others, "", 0),
		)
	}
	d := Delivery{
		Entry: c.Entry, Uncertain: c.State == Uncertain,
		Unrendered: c.unrendered, Backlogged: c.backlogged, Revived: c.revived,
	}
	d.Content = content
	r := Result{Verdict: VerdictUnknown, Reason: "the delivery crashed: see the log"}
	_ = o.safely("delivering an entry", func() error { // it was logged
		r = o.settings.Load().Deliverer.Deliver(ctx, d)
		return nil
	}, "entry", c.ID)
	return o.judge(ctx, s, c, r)
}

// probe returns the first of the holds that the entry is the probe of that is not over, and why, or nil if the entry is
// to be delivered to see.
func (o *Outbox) probe(ctx context.Context, c *claimed) (failed *Hold, reason string) {
	prober, is := o.settings.Load().Deliverer.(Prober)
	if !is {
		return nil, ""
	}
	for _, h := range c.probed {
		err := o.safely("probing a hold", func() error { return prober.Probe(ctx, *h, c.Entry) }, "entry", c.ID)
		switch {
		case err == nil:
		case strings.HasPrefix(h.Reason, outageReason): // by which probeIdle knows it
			return h, outageReason + err.Error()
		default:
			return h, err.Error()
		}
	}
	return nil, ""
}

// sealed lets an entry wait whose content cannot be opened without another key, and ends one whose content is damaged.
func (o *Outbox) sealed(ctx context.Context, s *store, c *claimed, reason error) error {
	if errors.Is(reason, errDamaged) {
		return o.end(ctx, s, c, Dead, reason.Error())
	}
	known := c.Reason == reason.Error()
	c.Reason = reason.Error()
	if err := o.later(ctx, s, c, sealedWait); err != nil || known {
		return err
	}
	o.notify("sealed", c.Entry, c.Reason, sealedWait)
	return nil
}

// retry tries the entry again after a failed attempt, until it has been retried for as long as it may be. Only delays
// count: no hold, no backlog, and no time in which no process ran.
func (o *Outbox) retry(ctx context.Context, s *store, c *claimed, r Result) error {
	settings := o.settings.Load()
	if c.retried >= settings.RetryFor {
		return o.end(ctx, s, c, Dead, "it was retried for as long as retry_for says; at last: "+r.Reason)
	}
	first := settings.RetryWait
	delay := max(backoff(c.tries+1, first, rand.Float64()), min(r.After, lastRetry))
	if c.urgent() && r.After == 0 {
		// What expires soon is tried again within a tenth of its life.
		delay = max(min(delay, c.Expires.Sub(c.Accepted)/10), first/2)
	}
	c.tries++
	c.retried += delay
	c.note(o.now(), r.Reason)
	if err := o.later(ctx, s, c, delay); err != nil {
		return err
	}
	o.notify("retry", c.Entry, r.Reason, delay)
	return nil
}

// mostUnknowns is how many attempts of unknown outcome an entry may have: a person gets a mail twice at most.
const mostUnknowns = 2

// unknown makes an entry uncertain: it is looked for before it is sent again, or before it is dead.
func (o *Outbox) unknown(ctx context.Context, s *store, c *claimed, r Result) error {
	reason := r.Reason
	c.unknowns++
	c.note(o.now(), reason)
	wait := o.settings.Load().uncertainWait(c.urgent() && c.unknowns < mostUnknowns)
	if r.After > 0 {
		wait = min(wait, r.After)
	}
	if err := o.save(ctx, s, c, Uncertain, wait); err != nil {
		return err
	}
	o.notify("retry", c.Entry, reason, wait)
	return nil
}

// resend has an uncertain entry be sent once more that no search can settle, unless it was already.
func (o *Outbox) resend(ctx context.Context, s *store, c *claimed, reason string) error {
	if c.unknowns >= mostUnknowns {
		return o.end(ctx, s, c, Dead, "it may have been sent, and even twice: "+lastReason(c))
	}
	c.note(o.now(), reason)
	return o.save(ctx, s, c, Retrying, 0)
}

// lastReason is why the outcome of an entry's last attempt is unknown.
func lastReason(c *claimed) string {
	if len(c.Attempts) == 0 {
		return c.Reason
	}
	return c.Attempts[len(c.Attempts)-1].Reason
}

// searchFor is how long an uncertain entry is looked for where no search is answered. It is sent once more then.
const searchFor = 15 * time.Minute

// backlogFor is how long the account may keep an entry back. Tests shorten it.
var backlogFor = 72 * time.Hour

// refusedLater has an entry be sent again that was found as refused for a reason of the operator's: nobody got it, and
// the next sending meets the hold.
func (o *Outbox) refusedLater(ctx context.Context, s *store, c *claimed, r Result) error {
	if c.State == Uncertain {
		c.unknowns = max(0, c.unknowns-1)
	}
	c.backlogged = time.Time{}
	c.note(o.now(), r.Reason)
	return o.save(ctx, s, c, Retrying, 0)
}

// lookUpLater looks an uncertain or backlogged entry up again.
func (o *Outbox) lookUpLater(ctx context.Context, s *store, c *claimed, r Result) error {
	since := c.backlogged
	if c.State == Backlogged && o.now().Sub(since) >= backlogFor {
		return o.end(ctx, s, c, Dead, "it was kept back and not sent for "+backlogFor.String()+": "+r.Reason)
	}
	if c.State == Uncertain && len(c.Attempts) > 0 {
		since = c.Attempts[len(c.Attempts)-1].Time
		patience := searchFor
		if !c.Expires.IsZero() {
			patience = min(patience, c.Expires.Sub(c.Accepted)/2) // a code must not expire over it
		}
		if o.now().Sub(since) >= patience {
			return o.resend(ctx, s, c, "searches were not answered: it is sent once more")
		}
	}
	delay := lookUpDelay(o.settings.Load().LookUpWait, o.now().Sub(since))
	if c.State == Uncertain {
		delay = o.settings.Load().uncertainWait(true)
	}
	c.Reason = r.Reason
	return o.save(ctx, s, c, c.State, max(delay, min(r.After, lastLookUp)))
}

// backlogged keeps an entry that the account has accepted and does not send yet.
func (o *Outbox) backlogged(ctx context.Context, s *store, c *claimed, r Result) error {
	if c.State == Backlogged && o.now().Sub(c.backlogged) >= backlogFor {
		return o.lookUpLater(ctx, s, c, r)
	}
	if c.State != Backlogged {
		c.Uncertain, c.backlogged = false, o.now()
	}
	if c.Reason != r.Reason {
		c.note(o.now(), r.Reason)
	}
	first := o.settings.Load().LookUpWait
	return o.save(ctx, s, c, Backlogged, lookUpDelay(first, o.now().Sub(c.backlogged)))
}
