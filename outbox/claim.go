package outbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Tests that wait for a server have shorter leases.
var (
	// leaseInterval is how often a process renews the leases of what it sends, and leaseEnd how long others respect
	// them. On SQLite, there is no other process, and no lease.
	leaseInterval = 5 * time.Second
	leaseEnd      = 20 * time.Second
)

const (
	// pollInterval is how often PostgreSQL is asked for the entries of other processes, and pollHearing how often
	// if it notifies us of them.
	pollInterval = 250 * time.Millisecond
	pollHearing  = 2 * time.Second
	// longestSleep bounds the wait for an entry that is due later, whatever the clock does.
	longestSleep = 30 * time.Second
)

// account is what this process does for one account. o.mu is held for it.
type account struct {
	// sending counts the entries that are being sent, urgent those of them that are urgent, storing those that were
	// sent and whose outcome is being stored, and lookUps those that are being looked up.
	sending, urgent, storing, lookUps int
	pace                              pace
	// limit is how many may be sent at once after a hold: it grows with each success. 0 is no limit.
	limit int
	// accepted is when an entry was last answered for, by the database's clock.
	accepted time.Time
	// unknowns counts the attempts since then whose outcome is unknown.
	unknowns int
	// turn rotates the lanes, so that none comes first always.
	turn int
}

// claimed is an entry that this process has claimed.
type claimed struct {
	*row
	account string
	// probed are the holds that it is the probe of.
	probed []*Hold
	// began is when it was claimed.
	began time.Time
	// keepContent keeps the content although the entry was sent.
	keepContent bool
	// sent says that its worker is free already. It is the worker's own.
	sent bool
}

// dispatch claims what is due and starts a worker for each entry, until ctx ends. Workers' calls end with working.
func (o *Outbox) dispatch(ctx, working context.Context) {
	o.strays = true // Stop may have cut workers off
	for ctx.Err() == nil {
		sleep := longestSleep
		err := o.safely("dispatching", func() error {
			var err error
			sleep, err = o.dispatchOnce(ctx, working)
			return err
		})
		if err != nil {
			sleep, o.strays = time.Second, true // what was claimed may have no worker
		}
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, database.ErrDamaged) {
			o.troubles.set(o, "claiming entries", err)
		}
		var wakes <-chan struct{}
		if s := o.store.Load(); s != nil {
			wakes = s.Wakes()
		}
		timer := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case <-o.wakes:
		case <-wakes:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// dispatchOnce returns how long nothing else is due.
func (o *Outbox) dispatchOnce(ctx, working context.Context) (time.Duration, error) {
	s := o.store.Load()
	if s == nil {
		return time.Second, nil
	}
	if postgres, is := s.DB.(*database.Postgres); is {
		if err := errors.Join(postgres.ReadClock(ctx), o.readHolds(ctx, s)); err != nil {
			return 0, err
		}
	}
	if o.strays && !s.dialect.Postgres {
		if err := o.takeUpStrays(ctx, s); err != nil {
			return 0, err
		}
	}
	o.strays = false
	for ; len(o.unanswered) > 0; o.unanswered = o.unanswered[1:] {
		if err := o.claimedBy(s, o.unanswered[0], nil, working); err != nil {
			return 0, err
		}
	}
	lanes, lookUp, err := o.readLanes(ctx, s)
	if err != nil {
		return 0, err
	}
	now := o.now()
	plan := o.plan(s, lanes, now)
	if !lookUp.IsZero() && !lookUp.After(now) {
		o.planLookUps(s, plan)
	} else if !lookUp.IsZero() {
		plan.sleep(lookUp.Sub(now))
	}
	if err := o.claim(s, plan, working); err != nil {
		return 0, err
	}
	switch postgres, is := s.DB.(*database.Postgres); {
	case is && postgres.Hears():
		plan.sleep(pollHearing)
	case is:
		plan.sleep(pollInterval)
	}
	return plan.sleeping, nil
}

// readLanes returns the lanes that have waiting entries, and when the first look-up is due. It steps from lane to
// lane through the index: what it costs depends on their number alone.
func (o *Outbox) readLanes(ctx context.Context, s *store) (lanes []lane, lookUp time.Time, err error) {
	const query = "WITH RECURSIVE lanes (lane) AS (" +
		"SELECT (SELECT lane FROM entry WHERE " + isWaiting + " ORDER BY lane LIMIT 1) UNION ALL " +
		"SELECT (SELECT entry.lane FROM entry WHERE " + isWaiting + " AND entry.lane > lanes.lane " +
		"ORDER BY entry.lane LIMIT 1) FROM lanes WHERE lanes.lane IS NOT NULL) " +
		"SELECT lane, (SELECT due FROM entry WHERE " + isWaiting + " AND entry.lane = lanes.lane ORDER BY due LIMIT 1) " +
		"FROM lanes WHERE lane IS NOT NULL UNION ALL " +
		"SELECT '', (SELECT due FROM entry WHERE " + isLookedUp + " ORDER BY due LIMIT 1)"
	err = s.Read(ctx, query, nil, func(scan func(...any) error) error {
		var name string
		var due *int64
		if err := scan(&name, &due); err != nil || due == nil {
			return err
		}
		if name == "" {
			lookUp = time.UnixMilli(*due)
		} else {
			lanes = append(lanes, parseLane(name, *due))
		}
		return nil
	})
	return lanes, lookUp, err
}

// claim claims what is planned in one commit, and starts the workers.
func (o *Outbox) claim(s *store, p *plan, working context.Context) error {
	if len(p.claims) == 0 {
		return nil
	}
	found := make([][]*row, len(p.claims))
	owner, tries := o.process+"-"+o.NewID(), 0
	begin := func() {
		tries++
		clear(found)
	}
	// What is claimed must not be lost because the database was slow: nobody would send it.
	write := &database.Write{Begin: begin, Patient: true}
	probes := false
	for i, c := range p.claims {
		prober := o.NewID()
		for _, h := range c.probed {
			probes = true
			write.Statements = append(write.Statements, claimProbe(h, prober, p.now))
		}
		statement := o.claimStatement(s, c, owner, prober, p.now)
		statement.Row = func(scan func(...any) error) error {
			r, err := readClaimed(scan)
			if err == nil {
				found[i] = append(found[i], r)
			}
			return err
		}
		write.Statements = append(write.Statements, statement)
	}
	if err := s.Write(context.Background(), write); err != nil {
		o.unanswered = append(o.unanswered, owner)
		return err
	}
	if tries > 1 {
		// The first time may have claimed something too, and its answer was lost.
		if err := o.claimedBy(s, owner, slices.Concat(found...), working); err != nil {
			o.logger().Error("reading what was claimed", "error", err)
		}
	}
	for i, c := range p.claims {
		slices.SortFunc(found[i], func(a, b *row) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.ID, b.ID)) })
		for _, r := range found[i] {
			o.begin(working, &claimed{row: r, account: c.account, probed: c.probed, began: time.Now()})
		}
		if len(found[i]) == c.n && o.hasFree(c.account) {
			p.sleep(0) // there may be more
		}
	}
	if probes {
		p.sleep(0) // another process may have been faster: what it left is in the holds that are read now
		return o.readHolds(context.Background(), s)
	}
	return nil
}

// hasFree reports whether an account has a free worker. If it has none, the next one that ends wakes the dispatcher.
func (o *Outbox) hasFree(account string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accountNamed(account).sending < o.settings.Load().Workers
}

// claimedBy starts workers for what was claimed by a statement whose answer was lost, but for what is known.
func (o *Outbox) claimedBy(s *store, owner string, known []*row, working context.Context) error {
	var rows []*row
	query := "SELECT " + claimedColumns + " FROM entry WHERE lease > 0 AND state = 'sending' AND owner = $1"
	err := s.Read(context.Background(), query, []any{owner}, func(scan func(...any) error) error {
		r, err := readClaimed(scan)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return err // they are taken over when their lease ends
	}
	settings := o.settings.Load()
	for _, r := range rows {
		if !slices.ContainsFunc(known, func(k *row) bool { return k.ID == r.ID }) {
			o.begin(working, &claimed{row: r, account: o.accountOf(s, settings, r.Sender), began: time.Now()})
		}
	}
	return nil
}

// lookUpLease is how long a look-up may take before another one is made.
const lookUpLease = time.Minute

// claimStatement claims entries of a lane, or those to be looked up, whose state stays as it is: a look-up sends
// nothing.
func (o *Outbox) claimStatement(s *store, c claim, owner, prober string, now time.Time) *database.Statement {
	a := new(arguments)
	set, where := "", ""
	if c.senders != nil {
		set = "attempt = attempt + 1, due = " + a.add(now.Add(lookUpLease).UnixMilli())
		where = isLookedUp + " AND sender IN (" + a.list(c.senders) + ")"
	} else {
		// SQLite rewrites a row in place, without its content, as long as its size stays as it is.
		set = "state = 'sending', attempt = attempt + 1"
		if s.dialect.Postgres {
			set += ", lease = " + a.add(now.Add(leaseEnd).UnixMilli()) + ", owner = " + a.add(owner)
		}
		where = isWaiting + " AND lane = " + a.add(c.lane.name)
	}
	where += " AND due <= " + a.add(now.UnixMilli())
	for _, h := range c.probed {
		// The statement before must have made the probe this prober's.
		where += " AND EXISTS (SELECT 1 FROM hold WHERE scope = " + a.add(string(h.Scope)) +
			" AND target = " + a.add(h.Target) + " AND prober = " + a.add(prober) + ")"
	}
	if len(c.probed) > 0 {
		// An entry that may have gone out before is a probe only if there is no other.
		where += " AND (unknowns = 0 OR NOT EXISTS (SELECT 1 FROM entry AS other " +
			"WHERE other.state IN ('pending', 'retrying') AND other.lane = entry.lane " +
			"AND other.due <= " + a.add(now.UnixMilli()) + " AND other.unknowns = 0))"
	}
	picked := "SELECT id FROM entry WHERE " + where + " ORDER BY due LIMIT " + a.add(c.n) + " + 0"
	return &database.Statement{
		SQL: "UPDATE entry SET " + set + " WHERE " + s.dialect.PickedBegin + picked + s.dialect.PickedEnd +
			" RETURNING " + claimedColumns,
		Args: a.values,
	}
}
