package outbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// judge stores what a result means for the entry, and for the holds that it was the probe of.
func (o *Outbox) judge(ctx context.Context, s *store, c *claimed, r Result) error {
	if r.Outcome != nil {
		c.Outcome = r.Outcome
	}
	if r.Verdict == VerdictHold && c.State == Sending && r.ofKey() && !r.RateLimited && o.meetsHoldsAlone(c) {
		r.Verdict, r.Reason = VerdictRetry, "it meets holds while other mail is accepted: "+r.Reason
	}
	holding := o.judgeHolds(ctx, s, c, r)
	if r.Verdict == VerdictSent && c.State == Sending {
		o.releaseEarly(c)
	}
	return errors.Join(o.judgeEntry(ctx, s, c, r), holding)
}

// ofKey reports whether what the result holds is the account as a whole.
func (r Result) ofKey() bool { return r.Scope == "" || r.Scope == ScopeKey }

// answered are the verdicts by which an account has shown that it works.
var answered = []Verdict{VerdictSent, VerdictRejected, VerdictDead}

func (o *Outbox) judgeHolds(ctx context.Context, s *store, c *claimed, r Result) error {
	o.countAnswers(c, r)
	switch {
	case c.State == Backlogged && r.Verdict == VerdictSent:
		return o.endHolds(ctx, s, o.backlogHolds(c))
	case slices.Contains(answered, r.Verdict):
		return o.endHolds(ctx, s, c.probed)
	case c.State == Sending && (r.Verdict == VerdictHold || r.Verdict == VerdictBacklogged):
		hold := o.holdFor(c, r)
		isOther := func(h *Hold) bool { return h.name() != hold.name() }
		others := slices.DeleteFunc(slices.Clone(c.probed), func(h *Hold) bool { return !isOther(h) })
		met := slices.DeleteFunc(slices.Clone(c.probed), isOther)
		if len(met) > 0 {
			return errors.Join(o.extendHolds(ctx, s, met, r.Reason, r.After), o.extendHolds(ctx, s, others, "", 0))
		}
		if hold.Scope == ScopeKey { // it says nothing of a domain or a sub-account
			return errors.Join(o.extendHolds(ctx, s, c.probed, "", 0), o.beginHold(ctx, s, hold, c.began))
		}
		// The account answers, and holds something else.
		return errors.Join(o.endHolds(ctx, s, c.probed), o.beginHold(ctx, s, hold, c.began))
	}
	err := o.extendHolds(ctx, s, c.probed, "", 0)
	if c.State == Sending && r.Verdict == VerdictUnknown && len(c.probed) == 0 && o.isOutage(c) {
		// After is when the entry is looked for, and not when the account is probed.
		outage := Result{Reason: outageReason + r.Reason}
		err = errors.Join(err, o.beginHold(ctx, s, o.holdFor(c, outage), c.began))
	}
	return err
}

// backlogHolds returns the holds that kept the account from sending an entry that it has sent now: those for the same
// reason.
func (o *Outbox) backlogHolds(c *claimed) []*Hold {
	return slices.DeleteFunc(o.holdsOf(laneFor(c.Entry), c.account), func(h *Hold) bool {
		return h.Scope != ScopeKey && h.Scope != ScopeSubaccount || h.Reason != c.Reason
	})
}

// outageReason begins the reason of a hold of an account whose answers are lost.
const outageReason = "the outcome of the last attempts is unknown: "

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
	scope, target := cmp.Or(r.Scope, ScopeKey), c.account
	switch {
	case scope == ScopeDomain:
		target = c.Sender
	case scope == ScopeSubaccount && c.Subaccount == "":
		scope = ScopeKey
	case scope == ScopeSubaccount:
		target += "/" + c.Subaccount
	}
	now, first := o.now(), o.settings.Load().firstProbe(scope)
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
	case VerdictDead:
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
		return o.resend(ctx, s, c, r.Reason)
	case VerdictNotAccepted:
		c.unknowns = 0
		c.note(o.now(), r.Reason)
		return o.save(ctx, s, c, Retrying, 0)
	case VerdictWait:
		if c.Reason != r.Reason {
			c.note(o.now(), r.Reason) // once: from here on it is retrying
		}
		return o.later(ctx, s, c, r.After)
	case VerdictHold:
		if lookedUp {
			return o.refusedLater(ctx, s, c, r)
		}
		c.Reason = r.Reason
		return o.later(ctx, s, c, 0)
	case VerdictUnknown:
		if lookedUp {
			return o.lookUpLater(ctx, s, c, r)
		}
		return o.unknown(ctx, s, c, r)
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
	if c.holds == 0 || passed.After(c.due) {
		c.holds++
	}
	return c.holds >= mostHolds
}

// countAnswers keeps count of what fails in a row, and lets an account send more at once after each success that
// follows a hold.
func (o *Outbox) countAnswers(c *claimed, r Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.countRefusals(c.Sender, r)
	a := o.accountNamed(c.account)
	if r.SlowDown {
		a.limit = 1
	}
	if r.RateLimited {
		a.pace.refused(o.now())
	}
	switch {
	case slices.Contains(answered, r.Verdict):
		delete(o.failing, c.Sender)
		a.pace.answered(o.now())
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
