package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// summaryInterval is how often entries are counted, and summaryShare for how large a part of the time at most.
	summaryInterval = 5 * time.Second
	summaryShare    = 20
)

// Summary counts the entries.
type Summary struct {
	// Counts are the numbers of entries, and Oldest the times of acceptance of the oldest ones.
	Counts map[State]int       `json:"counts"`
	Oldest map[State]time.Time `json:"oldest"`

	at   time.Time
	took time.Duration
}

// Summary returns what was counted last, some seconds ago or more, without asking the database. The second value
// reports whether anything was counted yet.
func (o *Outbox) Summary() (Summary, bool) {
	last := o.summary.Load()
	if last == nil {
		return Summary{}, false
	}
	return *last, true
}

// summarizeSometimes counts, if that did not take long the last time.
func (o *Outbox) summarizeSometimes(ctx context.Context, s *store) error {
	if last := o.summary.Load(); last != nil && time.Since(last.at) < min(last.took*summaryShare, 10*time.Minute) {
		return nil
	}
	_, err := o.summarize(ctx, s)
	return err
}

// summarize counts all entries by index.
func (o *Outbox) summarize(ctx context.Context, s *store) (*Summary, error) {
	began := time.Now()
	found := &Summary{Counts: make(map[State]int), Oldest: make(map[State]time.Time)}
	for _, state := range States {
		of, args := notSent+"state = $1", []any{string(state)}
		if state == Sent {
			of, args = isForgettable+" AND state = 'sent'", nil
		}
		n, err := s.number(ctx, "SELECT count(*) FROM entry WHERE "+of, args...)
		if err != nil {
			return nil, err
		}
		found.Counts[state] = int(n)
		if n == 0 {
			continue
		}
		order := "id"
		if state == Sent {
			order = "ended"
		}
		oldest, err := s.number(ctx, "SELECT accepted FROM entry WHERE "+of+" ORDER BY "+order+" LIMIT 1", args...)
		if err != nil {
			return nil, err
		}
		found.Oldest[state] = toTime(oldest)
	}
	found.at, found.took = time.Now(), time.Since(began)
	o.summary.Store(found)
	return found, nil
}

// Status is what an operator wants to know first.
type Status struct {
	Summary
	// Holds are the senders that are held or paused.
	Holds map[string]Hold `json:"holds"`
	// InForce are all holds and pauses, those of sub-accounts and templates too.
	InForce []Hold `json:"in_force"`
	// Failing are the senders whose last attempts failed.
	Failing map[string]Failing `json:"failing"`
	// Refused are the senders whose last attempts were all answered by a refusal.
	Refused map[string]Failing `json:"refused"`
	// Alone are the IDs of entries that meet holds while others of their account are accepted.
	Alone []string `json:"alone,omitempty"`
	// Rejected are the reasons of the entries that were rejected within the last hour, the most frequent ones first.
	Rejected []Rejections `json:"rejected"`
	// Sealed are the numbers of entries by sender whose content cannot be opened for lack of a key.
	Sealed map[string]int `json:"sealed"`
	// Waiting are the numbers of undelivered entries by sender.
	Waiting map[string]int `json:"waiting"`
	// Unknown are those of Waiting whose sender this process has no account for.
	Unknown map[string]int `json:"unknown"`
	// Troubles are what fails with the database, with its remedy where there is one.
	Troubles []string `json:"troubles,omitempty"`
}

// Failing describes a sender whose attempts fail, one after the other, though it is not held.
type Failing struct {
	// Attempts is how many have failed since one was last answered.
	Attempts int `json:"attempts"`
	// Reason is that of the last one.
	Reason string `json:"reason"`
}

// Status counts the entries as they are now.
func (o *Outbox) Status(ctx context.Context) (Status, error) {
	o.mu.Lock()
	failing := maps.Clone(o.failing)
	o.mu.Unlock()
	status := Status{
		Holds: o.HoldsBySender(), InForce: o.Holds(), Failing: failing, Refused: o.Refused(), Sealed: make(map[string]int),
		Waiting: make(map[string]int), Unknown: make(map[string]int), Troubles: o.Troubles(),
	}
	s, err := o.opened()
	if err != nil {
		return status, err
	}
	o.nameSenders(s, status.InForce)
	summary, err := o.summarize(ctx, s)
	if err != nil {
		return status, unavailable(err)
	}
	status.Summary = *summary
	const alone = "SELECT id FROM entry WHERE " + isUndelivered + " AND holds >= $1 ORDER BY id"
	err = s.Read(ctx, alone, []any{int64(mostHolds)}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		status.Alone = append(status.Alone, id)
		return err
	})
	if err != nil {
		return status, unavailable(err)
	}
	const waiting = "SELECT sender, count(*) FROM entry WHERE " + isUndelivered + " GROUP BY sender"
	err = s.Read(ctx, waiting, nil, func(scan func(...any) error) error {
		var sender string
		var n int
		err := scan(&sender, &n)
		status.Waiting[sender] = n
		if !slices.Contains(o.settings.Load().Senders, sender) {
			status.Unknown[sender] = n
		}
		return err
	})
	if err != nil {
		return status, unavailable(err)
	}
	if status.Sealed, err = s.countSealed(ctx); err != nil {
		return status, unavailable(err)
	}
	status.Rejected, err = s.rejections(ctx, o.now().Add(-time.Hour))
	return status, err
}

// Troubles returns what is wrong with the database at the moment, in words.
func (o *Outbox) Troubles() []string {
	found := o.troubles.list()
	s, err := o.opened()
	if err != nil {
		if len(found) == 0 {
			found = append(found, err.Error())
		}
		return found
	}
	if trouble := s.Trouble(); trouble != nil {
		found = append(found, "the outbox does not store: "+trouble.Error())
	}
	return found
}

// HoldsBySender returns the hold or the pause of each sender of this process that has one.
func (o *Outbox) HoldsBySender() map[string]Hold {
	found := make(map[string]Hold)
	s, err := o.opened()
	if err != nil {
		return found
	}
	settings := o.settings.Load()
	for _, sender := range settings.Senders {
		account := o.accountOf(s, settings, sender)
		for _, h := range o.holdsOf(lane{sender: sender}, account) {
			known := found[sender]
			if known.Scope == "" {
				known = *h
			}
			known.Paused = known.Paused || h.Paused
			if known.Reason == "" {
				known.Reason = h.Reason
			}
			found[sender] = known
		}
	}
	for _, h := range o.Holds() {
		if _, has := found[h.Target]; h.Scope == ScopePause && !has {
			found[h.Target] = h
		}
	}
	return found
}

// HoldsHere returns the holds and pauses in force that keep back what this process would send: not those of a key that
// is not configured any more.
func (o *Outbox) HoldsHere() []Hold {
	s, err := o.opened()
	if err != nil {
		return nil
	}
	found := o.Holds()
	o.nameSenders(s, found)
	return slices.DeleteFunc(found, func(h Hold) bool { return len(h.Senders) == 0 && !h.Paused })
}

// nameSenders says of holds which senders of this process they keep back.
func (o *Outbox) nameSenders(s *store, holds []Hold) {
	settings := o.settings.Load()
	for i := range holds {
		h := &holds[i]
		account, _, _ := strings.Cut(h.Target, "/")
		for _, sender := range settings.Senders {
			ofAccount := h.Scope == ScopeKey || h.Scope == ScopeSubaccount
			if ofAccount && o.accountOf(s, settings, sender) == account || !ofAccount && sender == h.Target {
				h.Senders = append(h.Senders, sender)
			}
		}
		if len(h.Senders) == 0 && h.Scope == ScopePause {
			h.Senders = []string{h.Target}
		}
	}
}

func sortHolds(holds []Hold) {
	slices.SortFunc(holds, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Target, b.Target))
	})
}

// Undelivered returns how many entries wait to be delivered, unrendered and dead ones not counted.
func (o *Outbox) Undelivered() int { return int(o.pending.Load()) }

// Left counts all that is not delivered: what waits, is unrendered or is dead.
func (o *Outbox) Left(ctx context.Context) (int, error) {
	s := o.store.Load()
	if s == nil {
		return 0, nil // the database was never reached, and nothing put into it
	}
	n, err := s.number(ctx, "SELECT count(*) FROM entry WHERE "+isLeft)
	return int(n), err
}

// MaxPending is how many there may be.
func (o *Outbox) MaxPending() int { return o.settings.Load().MaxPending }

// Ready returns nil if Put would store. Else the error wraps ErrUnavailable or ErrFull, and says why.
func (o *Outbox) Ready() error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if trouble := s.Trouble(); trouble != nil {
		return unavailable(trouble)
	}
	if o.Undelivered() >= o.MaxPending() {
		return ErrFull
	}
	return nil
}

// LeftIn counts what is not delivered in the SQLite file of another outbox, which may be open in another process. It
// returns 0 if there is no such file, or if it is no outbox.
func LeftIn(ctx context.Context, file string) int {
	n, err := database.CountIn(ctx, file, "SELECT count(*) FROM entry WHERE "+isLeft)
	if err != nil {
		return 0
	}
	return n
}
