package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
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
		a.urgent += int(toInt(c.urgent()))
	}
	o.mu.Unlock()
	for i, h := range c.probed {
		mine := *h
		mine.generation++
		c.probed[i] = &mine
	}
	o.working.Go(func() {
		err := o.safely("delivering an entry", func() error { return o.work(ctx, c) }, "entry", c.ID)
		if err != nil {
			o.logger().Error("storing the outcome of an entry", "entry", c.ID, "error", err)
		}
		o.mu.Lock()
		delete(o.inHand, c.ID)
		if looksUp {
			a.lookUps--
		} else {
			a.sending--
			a.urgent -= int(toInt(c.urgent()))
		}
		o.mu.Unlock()
		o.wake()
	})
}

// work makes one attempt and stores what became of it.
func (o *Outbox) work(ctx context.Context, c *claimed) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if !c.Expires.IsZero() && !c.Expires.After(o.now()) {
		return errors.Join(o.end(ctx, s, c, Expired, "it expired before it could be sent"), o.extendHolds(ctx, s, c.probed, "", 0))
	}
	content, err := o.vault.Load().open(c.ID, c.stored)
	if err != nil {
		return errors.Join(o.sealed(ctx, s, c, err), o.extendHolds(ctx, s, c.probed, "", 0))
	}
	if reason := o.probe(ctx, c); reason != "" {
		return errors.Join(o.later(ctx, s, c, 0), o.extendHolds(ctx, s, c.probed, reason, 0))
	}
	d := Delivery{
		Entry: c.Entry, Uncertain: c.State == Uncertain, Unrendered: c.unrendered, Backlogged: c.backlogged, Revived: c.revived,
	}
	d.Content = content
	r := Result{Verdict: VerdictUnknown, Reason: "the delivery crashed: see the log"}
	_ = o.safely("delivering an entry", func() error { // it was logged
		r = o.settings.Load().Deliverer.Deliver(ctx, d)
		return nil
	}, "entry", c.ID)
	return o.judge(ctx, s, c, r)
}

// probe returns why the holds that the entry is the probe of are not over, or nothing if it is to be delivered to see.
func (o *Outbox) probe(ctx context.Context, c *claimed) (reason string) {
	prober, is := o.settings.Load().Deliverer.(Prober)
	if !is || len(c.probed) == 0 {
		return ""
	}
	err := o.safely("probing a hold", func() error {
		for _, h := range c.probed {
			if err := prober.Probe(ctx, *h, c.Entry); err != nil {
				return err
			}
		}
		return nil
	}, "entry", c.ID)
	if err != nil {
		return err.Error()
	}
	return ""
}

// sealed lets an entry wait whose content cannot be opened without another key, and ends one whose content is damaged.
func (o *Outbox) sealed(ctx context.Context, s *store, c *claimed, reason error) error {
	if errors.Is(reason, errDamaged) {
		return o.end(ctx, s, c, Dead, reason.Error())
	}
	if c.Reason != reason.Error() {
		c.Reason = reason.Error()
		o.notify("sealed", c.Entry, c.Reason, sealedWait)
	}
	return o.later(ctx, s, c, sealedWait)
}

// judge stores what a result means for the entry, and for the holds that it was the probe of.
func (o *Outbox) judge(ctx context.Context, s *store, c *claimed, r Result) error {
	if r.Outcome != nil {
		c.Outcome = r.Outcome
	}
	if r.Verdict == VerdictHold && c.State == Sending && o.meetsHoldsAlone(c) {
		r.Verdict, r.Reason = VerdictRetry, "it meets holds while other mail is accepted: "+r.Reason
	}
	holding := o.judgeHolds(ctx, s, c, r)
	return errors.Join(o.judgeEntry(ctx, s, c, r), holding)
}

// answered are the verdicts by which an account has shown that it works.
var answered = []Verdict{VerdictSent, VerdictRejected, VerdictDead}

func (o *Outbox) judgeHolds(ctx context.Context, s *store, c *claimed, r Result) error {
	o.countAnswers(c, r)
	switch {
	case slices.Contains(answered, r.Verdict):
		return o.endHolds(ctx, s, c.probed)
	case c.State == Sending && (r.Verdict == VerdictHold || r.Verdict == VerdictBacklogged):
		hold := o.holdFor(c, r)
		met := func(h *Hold) bool { return h.name() == hold.name() }
		if slices.ContainsFunc(c.probed, met) {
			return o.extendHolds(ctx, s, c.probed, r.Reason, r.After)
		}
		// The account answers, and holds something else.
		return errors.Join(o.endHolds(ctx, s, c.probed), o.beginHold(ctx, s, hold, c.began))
	}
	err := o.extendHolds(ctx, s, c.probed, "", 0)
	if c.State == Sending && r.Verdict == VerdictUnknown && len(c.probed) == 0 && o.isOutage(c) {
		r.Reason = "the last attempts had no answer that tells what became of them: " + r.Reason
		err = errors.Join(err, o.beginHold(ctx, s, o.holdFor(c, r), c.began))
	}
	return err
}

// manyUnknowns is how many attempts of an account in a row, whose outcome is unknown, are an outage.
const manyUnknowns = 3

// isOutage counts an attempt whose outcome is unknown, and reports whether there were many in a row.
func (o *Outbox) isOutage(c *claimed) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.accountNamed(c.account)
	a.unknowns++
	return a.unknowns >= manyUnknowns
}

func (o *Outbox) holdFor(c *claimed, r Result) Hold {
	scope := r.Scope
	if scope == "" {
		scope = ScopeKey
	}
	target := c.account
	switch {
	case scope == ScopeDomain:
		target = c.Sender
	case scope == ScopeSubaccount && c.Subaccount == "":
		scope = ScopeKey
	case scope == ScopeSubaccount:
		target += "/" + c.Subaccount
	}
	now, first := o.now(), probeDelays[scope].first
	return Hold{
		Scope: scope, Target: target, Sender: c.Sender, Reason: r.Reason, Since: now, Entry: c.ID,
		Probe: now.Add(max(first, min(r.After, longestProbe))), delay: first,
	}
}

func (o *Outbox) judgeEntry(ctx context.Context, s *store, c *claimed, r Result) error {
	lookedUp := c.State != Sending
	switch r.Verdict {
	case VerdictSent:
		c.keepContent = r.KeepContent
		return o.end(ctx, s, c, Sent, r.Reason)
	case VerdictRejected:
		return o.end(ctx, s, c, Rejected, r.Reason)
	case VerdictDead, VerdictGivenUp:
		return o.end(ctx, s, c, Dead, r.Reason)
	case VerdictDiscarded:
		return o.end(ctx, s, c, Discarded, r.Reason)
	case VerdictUnrendered:
		return o.end(ctx, s, c, Unrendered, r.Reason)
	case VerdictRendered:
		return o.rendered(ctx, s, c, r.Rendered)
	case VerdictBacklogged:
		return o.backlogged(ctx, s, c, r)
	case VerdictResend:
		c.note(o.now(), r.Reason)
		return o.save(ctx, s, c, Retrying, 0)
	case VerdictWait:
		if c.Reason != r.Reason {
			c.note(o.now(), r.Reason) // once: from here on it is retrying
		}
		return o.later(ctx, s, c, r.After)
	case VerdictHold: // a look-up never holds
		if lookedUp {
			return o.lookUpLater(ctx, s, c, r)
		}
		c.Reason = r.Reason
		return o.later(ctx, s, c, 0)
	case VerdictUnknown:
		if lookedUp {
			return o.lookUpLater(ctx, s, c, r)
		}
		return o.unknown(ctx, s, c, r.Reason)
	}
	if lookedUp {
		return o.lookUpLater(ctx, s, c, r)
	}
	return o.retry(ctx, s, c, r)
}

// mostHolds is how many holds an entry may meet while others of its account are accepted in between.
const mostHolds = 3

// meetsHoldsAlone counts that an attempt met a hold, and reports whether the entry meets them again and again while
// others pass: then it has trouble of its own.
func (o *Outbox) meetsHoldsAlone(c *claimed) bool {
	o.mu.Lock()
	passed := o.accountNamed(c.account).accepted
	o.mu.Unlock()
	// An entry that was given back is due since then.
	if c.holds == 0 || passed.After(c.Due) {
		c.holds++
	}
	return c.holds >= mostHolds
}

// retry tries the entry again after a failed attempt, until it has been retried for as long as it may be. Only delays
// count: no hold, no backlog, and no time in which no process ran.
func (o *Outbox) retry(ctx context.Context, s *store, c *claimed, r Result) error {
	if c.retried >= o.settings.Load().RetryFor {
		return o.end(ctx, s, c, Dead, "it was retried for as long as retry_for says; at last: "+r.Reason)
	}
	delay := max(backoff(c.tries+1, rand.Float64()), min(r.After, lastRetry))
	if c.urgent() && r.After == 0 {
		// What expires soon is tried again within a tenth of its life.
		delay = max(min(delay, c.Expires.Sub(c.Accepted)/10), firstRetry/2)
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

// unknown makes an entry uncertain: it is looked for before it is sent again.
func (o *Outbox) unknown(ctx context.Context, s *store, c *claimed, reason string) error {
	c.unknowns++
	if c.unknowns >= mostUnknowns {
		return o.end(ctx, s, c, Dead, reason+": it may have been sent, and even twice")
	}
	c.note(o.now(), reason)
	wait := o.settings.Load().uncertainWait(c.urgent())
	if err := o.save(ctx, s, c, Uncertain, wait); err != nil {
		return err
	}
	o.notify("retry", c.Entry, reason, wait)
	return nil
}

// searchFor is how long an uncertain entry is looked for where no search is answered. It is sent once more then.
const searchFor = 15 * time.Minute

// lookUpLater looks an uncertain or backlogged entry up again.
func (o *Outbox) lookUpLater(ctx context.Context, s *store, c *claimed, r Result) error {
	since := c.backlogged
	if c.State == Uncertain && len(c.Attempts) > 0 {
		since = c.Attempts[len(c.Attempts)-1].Time
		if o.now().Sub(since) >= searchFor {
			c.note(o.now(), "searches were not answered: it is sent once more")
			return o.save(ctx, s, c, Retrying, 0)
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
	if c.State != Backlogged {
		c.Entry.Uncertain, c.backlogged = false, o.now()
	}
	if c.Reason != r.Reason {
		c.note(o.now(), r.Reason)
	}
	first := o.settings.Load().LookUpWait
	return o.save(ctx, s, c, Backlogged, lookUpDelay(first, o.now().Sub(c.row.backlogged)))
}

// later gives the entry back for another attempt.
func (o *Outbox) later(ctx context.Context, s *store, c *claimed, delay time.Duration) error {
	state := c.State
	if state == Sending {
		state = c.waitingState()
	}
	return o.save(ctx, s, c, state, delay)
}

// save stores an entry that does not end. It is tried again no later than it expires.
func (o *Outbox) save(ctx context.Context, s *store, c *claimed, state State, delay time.Duration) error {
	c.Due = o.now().Add(delay)
	if !c.Expires.IsZero() && c.Due.After(c.Expires) {
		c.Due = c.Expires
	}
	return o.write(ctx, s, c, &change{state: state, due: c.Due})
}

// end stores the end of an entry, and wipes its content in the same statement.
func (o *Outbox) end(ctx context.Context, s *store, c *claimed, state State, reason string) error {
	c.note(o.now(), reason)
	keep := state == Dead || state == Unrendered || c.keepContent || o.settings.Load().KeepContent && !c.Private
	change := &change{state: state, wipe: !keep, freesKey: freesKey(c.row, state)}
	if state != Unrendered {
		change.ended = o.now()
	}
	before := c.State
	if err := o.write(ctx, s, c, change); err != nil {
		return err
	}
	c.Ended = change.ended
	if before.undelivered() {
		o.pending.Add(-1)
	}
	o.tally.addEnd(c.row)
	o.notify(string(state), c.Entry, c.Reason, 0)
	return nil
}

// freesKey reports whether another entry may have the key of one that ends: no mail went out, and none may have.
func freesKey(r *row, state State) bool {
	return r.unknowns == 0 && (state == Rejected || state == Dead || state == Expired || state == Discarded)
}

// rendered makes the entry what it has been rendered to. It is claimed again then, perhaps for another account.
func (o *Outbox) rendered(ctx context.Context, s *store, c *claimed, n *New) error {
	before := c.Recipients
	c.unrendered, c.Sender, c.Subaccount, c.Expires = false, n.Sender, n.Subaccount, n.Expires
	c.Private = c.Private || n.Private
	c.Recipients = nil
	for _, recipient := range n.Recipients {
		c.Recipients = append(c.Recipients, s.hash(recipient))
	}
	c.Due = o.now()
	return o.write(ctx, s, c, &change{
		state: c.waitingState(), due: c.Due, content: o.vault.Load().seal(c.ID, n.Content), former: before,
	})
}

// write stores a change of a claimed entry, again and again until the database takes it: what was sent must not be sent
// again because the database was away for a moment.
func (o *Outbox) write(ctx context.Context, s *store, c *claimed, change *change) error {
	from := c.State
	for n := 1; ; n++ {
		statements := change.statements(c.row, from)
		err := s.Write(context.WithoutCancel(ctx), &database.Write{Statements: statements, Order: c.ID, Size: 1000 + len(change.content)})
		if err == nil && statements[0].Changed == 0 {
			err = o.isStored(ctx, s, c, change.state)
		}
		if err == nil {
			c.State = change.state
			return nil
		}
		if errors.Is(err, errTaken) && from != Sending {
			return nil // the operator decided about it during the look-up
		}
		if errors.Is(err, errTaken) {
			o.notify("lost", c.Entry, "the entry was taken over while it was sent", 0)
			return nil
		}
		o.troubles.set(o, "storing outcomes", err)
		select {
		case <-time.After(min(backoff(n, 0)/10, 5*time.Second)):
		case <-ctx.Done():
			return err
		}
	}
}

// errTaken means that the entry is not this worker's any more: another process took it over, or it was forgotten.
var errTaken = errors.New("the entry was taken away")

// isStored returns nil if a change was committed before, by a connection that broke before it answered.
func (o *Outbox) isStored(ctx context.Context, s *store, c *claimed, state State) error {
	n, err := s.number(context.WithoutCancel(ctx), "SELECT count(*) FROM entry WHERE id = $1 AND attempt = $2 AND state = $3",
		c.ID, int64(c.attempt), string(state))
	if err == nil && n == 0 {
		err = errTaken
	}
	return err
}

// countAnswers keeps count of what fails in a row, and lets an account send more at once after each success that
// follows a hold.
func (o *Outbox) countAnswers(c *claimed, r Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.countRefusals(c.Sender, r)
	switch {
	case slices.Contains(answered, r.Verdict):
		delete(o.failing, c.Sender)
		a := o.accountNamed(c.account)
		a.accepted, a.unknowns = o.now(), 0
		if a.limit > 0 {
			if a.limit *= 2; a.limit >= o.settings.Load().Workers {
				a.limit = 0
			}
		}
	case c.State == Sending && (r.Verdict == VerdictRetry || r.Verdict == VerdictUnknown):
		o.failing[c.Sender] = Failing{o.failing[c.Sender].Attempts + 1, r.Reason}
	}
}

// startSlowly lets an account that was held send one entry at a time at first. o.mu is held.
func (o *Outbox) startSlowly(name holdName) {
	if name.scope == ScopeKey {
		o.accountNamed(name.target).limit = 1
	}
}
