package outbox

import (
	"slices"
	"time"
)

// plan is what is to be claimed together.
type plan struct {
	now      time.Time
	claims   []claim
	sleeping time.Duration
}

// claim is what is to be claimed of a lane, or, without one, of what is to be looked up.
type claim struct {
	lane    lane
	account string
	senders []string
	n       int
	probed  []*Hold
}

func (p *plan) sleep(most time.Duration) { p.sleeping = max(0, min(p.sleeping, most)) }

// plan decides how many entries of each lane to claim.
func (o *Outbox) plan(s *store, lanes []lane, now time.Time) *plan {
	p := &plan{now: now, sleeping: longestSleep}
	settings := o.settings.Load()
	open := make(map[string][]lane)
	var held []heldLane
	for _, l := range lanes {
		account := o.accountOf(s, settings, l.sender)
		if account == "" {
			continue
		}
		if l.due.After(now) {
			p.sleep(l.due.Sub(now))
			continue
		}
		holds := o.holdsOf(l, account)
		if len(holds) == 0 {
			open[account] = append(open[account], l)
			continue
		}
		held = append(held, heldLane{lane: l, account: account, holds: holds})
	}
	for i := range held {
		if len(held) > 1 && held[i].isDue(now) {
			held[i].unknowns = o.hasOnlyUnknowns(s, held[i].lane, now)
		}
	}
	// What may have gone out before is a probe only if there is nothing else.
	slices.SortStableFunc(held, func(a, b heldLane) int { return int(toInt(a.unknowns) - toInt(b.unknowns)) })
	for _, l := range held {
		p.probe(l)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, lanes := range open {
		a := o.accountNamed(name)
		limit := settings.Workers
		if a.limit != 0 {
			limit = min(limit, a.limit)
		}
		a.plan(p, name, lanes, limit)
	}
	return p
}

// heldLane is a lane that holds keep back.
type heldLane struct {
	lane    lane
	account string
	holds   []*Hold
	// unknowns is set if each of its entries that are due has had an attempt whose outcome is unknown.
	unknowns bool
}

// isDue reports whether an entry of the lane may be a probe now.
func (l *heldLane) isDue(now time.Time) bool {
	return !slices.ContainsFunc(l.holds, func(h *Hold) bool { return h.Paused || h.Probe.After(now) })
}

func (o *Outbox) hasOnlyUnknowns(s *store, l lane, now time.Time) bool {
	const clean = "SELECT count(*) FROM (SELECT 1 FROM entry WHERE " + isWaiting +
		" AND lane = $1 AND due <= $2 AND unknowns = 0 LIMIT 1) AS clean"
	n, err := s.number(o.closed, clean, l.name, now.UnixMilli())
	return err == nil && n == 0 // else the claim will fail too
}

// probe has one entry of a held lane be sent if a probe is due.
func (p *plan) probe(l heldLane) {
	for _, h := range l.holds {
		switch {
		case h.Paused:
			return
		case h.Probe.After(p.now):
			p.sleep(h.Probe.Sub(p.now))
			return
		}
		// Another lane of this plan is the probe already.
		if slices.ContainsFunc(p.claims, func(c claim) bool { return slices.Contains(c.probed, h) }) {
			return
		}
	}
	p.claims = append(p.claims, claim{lane: l.lane, account: l.account, n: 1, probed: l.holds})
}

func (o *Outbox) accountNamed(name string) *account {
	a := o.accounts[name]
	if a == nil {
		a = new(account)
		o.accounts[name] = a
	}
	return a
}

// plan shares the free workers of an account out. Urgent entries come first, but leave one worker of four to the others
// while some wait.
func (a *account) plan(p *plan, name string, lanes []lane, limit int) {
	a.turn++
	// A database that does not store stops the sending.
	free := limit - a.sending - max(0, a.storing-limit)
	if allowed, wait := a.pace.allowed(p.now, free); allowed < free {
		free = allowed
		p.sleep(wait)
	}
	var urgent, others []lane
	for _, l := range lanes {
		if l.urgent {
			urgent = append(urgent, l)
		} else {
			others = append(others, l)
		}
	}
	most := free
	if len(others) > 0 {
		most = min(free, max(limit*3/4, 1)-a.urgent)
	}
	free -= a.share(p, name, urgent, most)
	a.share(p, name, others, free)
}

// share gives workers to lanes, and returns how many.
func (a *account) share(p *plan, name string, lanes []lane, free int) int {
	given := 0
	for i := range lanes {
		if free-given <= 0 {
			break // a worker that ends wakes the dispatcher
		}
		left := len(lanes) - i
		n := (free - given + left - 1) / left
		p.claims = append(p.claims, claim{lane: lanes[(a.turn+i)%len(lanes)], account: name, n: n})
		given += n
	}
	return given
}

// maxLookUps is how many entries of an account are looked up at once: a Deliverer may ask for them together.
const maxLookUps = 50

// planLookUps claims what is to be looked up, of a few entries for each account at once.
func (o *Outbox) planLookUps(s *store, p *plan) {
	settings := o.settings.Load()
	byAccount := make(map[string][]string)
	for _, sender := range settings.Senders {
		account := o.accountOf(s, settings, sender)
		byAccount[account] = append(byAccount[account], sender)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, senders := range byAccount {
		if free := maxLookUps - o.accountNamed(name).lookUps; free > 0 {
			p.claims = append(p.claims, claim{account: name, senders: senders, n: free})
		}
	}
}
