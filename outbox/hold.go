package outbox

import (
	"cmp"
	"context"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// longestProbe bounds what a Retry-After can ask for.
	longestProbe = time.Hour
	// probeLease is how long a probe may take before another one is made.
	probeLease = time.Minute
)

// firstProbe is the time before the first probe of a hold, and lastProbe that between two at most.
// Settings.RetryWait is the first of a key.
var (
	firstProbe = map[Scope]time.Duration{ScopeDomain: time.Minute, ScopeSubaccount: 5 * time.Minute}
	lastProbe  = map[Scope]time.Duration{
		ScopeKey: 30 * time.Second, ScopeDomain: 10 * time.Minute, ScopeSubaccount: 5 * time.Minute,
	}
)

// Scope says what a hold or a pause keeps back.
type Scope string

// The scopes.
const (
	// ScopeKey is an account, which may send for several senders.
	ScopeKey Scope = "key"
	// ScopeSubaccount is a part of an account.
	ScopeSubaccount Scope = "subaccount"
	// ScopeDomain is a sender.
	ScopeDomain Scope = "domain"
	// ScopePause and ScopePauseTemplate are the operator's doing: a sender, or a template.
	ScopePause         Scope = "pause"
	ScopePauseTemplate Scope = "pause_template"
)

// Scopes are all scopes.
var Scopes = []Scope{ScopeKey, ScopeSubaccount, ScopeDomain, ScopePause, ScopePauseTemplate}

// Hold says what cannot be sent at the moment, and why.
type Hold struct {
	Scope Scope `json:"scope"`
	// Target is what is held: a keyed hash of an account, with a sub-account behind a slash; a sender; a template.
	Target string `json:"target"`
	// Sender is that of the entry that met the hold.
	Sender string `json:"sender,omitempty"`
	// Senders are those of this process that it keeps back, wholly or in part. Only Status has them.
	Senders []string  `json:"senders,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Entry met the hold first.
	Entry string `json:"entry,omitempty"`
	// Probe is when an entry is sent to see whether the hold is over.
	Probe time.Time `json:"probe,omitzero"`
	// Paused says that the operator keeps it back, so that nothing probes.
	Paused bool `json:"paused,omitempty"`

	delay time.Duration
	// generation is raised by each probe, so that one process alone makes it.
	generation int64
}

// holdName identifies a hold.
type holdName struct {
	scope  Scope
	target string
}

func (h *Hold) name() holdName { return holdName{h.Scope, h.Target} }

// holds are those in force as this process knows them. o.mu is held for them.
type holds struct {
	active map[holdName]*Hold
	// released has when this process has seen a hold end: what was on its way before begins no new one.
	released map[holdName]time.Time
}

// accountOf returns the hash of a sender's account, or nothing if the sender is not configured.
func (o *Outbox) accountOf(s *store, settings *Settings, sender string) string {
	for _, known := range settings.Senders {
		if known == sender {
			account := settings.Accounts[sender]
			if account == "" {
				account = "sender " + sender
			}
			return hashAccount(s.hashKey, account)
		}
	}
	return ""
}

// namesOf returns the holds that would keep back a lane, the operator's first.
func namesOf(l lane, account string) []holdName {
	names := []holdName{
		{ScopePause, l.sender}, {ScopePauseTemplate, l.template}, {ScopeDomain, l.sender}, {ScopeKey, account},
	}
	if l.subaccount != "" {
		names = append(names, holdName{ScopeSubaccount, account + "/" + l.subaccount})
	}
	return names
}

// holdsOf returns the holds in force that keep back a lane.
func (o *Outbox) holdsOf(l lane, account string) []*Hold {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []*Hold
	for _, name := range namesOf(l, account) {
		if h := o.holds.active[name]; h != nil {
			found = append(found, h)
		}
	}
	return found
}

// readHolds reads the holds in force. What is read later must also be kept later: else an old state could stay, and its
// probe come too late.
func (o *Outbox) readHolds(ctx context.Context, s *store) error {
	o.readingHolds.Lock()
	defer o.readingHolds.Unlock()
	active := make(map[holdName]*Hold)
	err := s.Read(ctx, "SELECT scope, target, sender, reason, since, entry, probe, delay, generation FROM hold", nil,
		func(scan func(...any) error) error {
			h := new(Hold)
			var since, probe, delay int64
			err := scan(&h.Scope, &h.Target, &h.Sender, &h.Reason, &since, &h.Entry, &probe, &delay, &h.generation)
			h.Since, h.Probe, h.delay = toTime(since), toTime(probe), time.Duration(delay)*time.Millisecond
			h.Paused = h.Scope == ScopePause || h.Scope == ScopePauseTemplate
			active[h.name()] = h
			return err
		})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range o.holds.active {
		if active[name] == nil {
			o.holds.released[name] = time.Now()
			o.startSlowly(name)
		}
	}
	o.holds.active = active
	return nil
}

// Holds returns the holds and pauses in force.
func (o *Outbox) Holds() []Hold {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []Hold
	for _, h := range o.holds.active {
		found = append(found, *h)
	}
	sortHolds(found)
	return found
}

// beginHold puts a hold in force, unless it is, or ended after the attempt began.
func (o *Outbox) beginHold(ctx context.Context, s *store, h Hold, began time.Time) error {
	o.mu.Lock()
	stale := o.holds.released[h.name()].After(began)
	o.mu.Unlock()
	if stale {
		return nil
	}
	opened := insertHold(h)
	if err := s.Write(ctx, &database.Write{Statements: []*database.Statement{opened}}); err != nil {
		return err
	}
	err := o.readHolds(ctx, s)
	if opened.Changed > 0 {
		o.settings.Load().Notify(Event{Name: "hold", Hold: h, Reason: h.Reason})
	}
	return err
}

// insertHold stores a hold or a pause, unless there is one.
func insertHold(h Hold) *database.Statement {
	return &database.Statement{
		SQL: "INSERT INTO hold (scope, target, sender, reason, since, entry, probe, delay, generation, prober) " +
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, '') ON CONFLICT (scope, target) DO NOTHING",
		Args: []any{
			string(h.Scope), h.Target, h.Sender, h.Reason, h.Since.UnixMilli(), h.Entry, toMilliseconds(h.Probe),
			h.delay.Milliseconds(),
		},
	}
}

// endHolds ends those that a probe was made for: the account has answered it.
func (o *Outbox) endHolds(ctx context.Context, s *store, probed []*Hold) error {
	return o.changeProbed(ctx, s, probed, "release", func(h *Hold) *database.Statement {
		return &database.Statement{
			SQL:  "DELETE FROM hold WHERE scope = $1 AND target = $2 AND generation = $3",
			Args: []any{string(h.Scope), h.Target, h.generation},
		}
	})
}

// extendHolds keeps those in force that a probe has met again. The next probe comes later.
func (o *Outbox) extendHolds(ctx context.Context, s *store, probed []*Hold, reason string, after time.Duration) error {
	return o.changeProbed(ctx, s, probed, "", func(h *Hold) *database.Statement {
		delay := min(max(2*h.delay, o.settings.Load().firstProbe(h.Scope)), lastProbe[h.Scope])
		next := o.now().Add(max(delay, min(after, longestProbe)))
		text := cmp.Or(reason, h.Reason)
		return &database.Statement{
			SQL: "UPDATE hold SET reason = $4, probe = $5, delay = $6, generation = generation + 1 " +
				"WHERE scope = $1 AND target = $2 AND generation = $3",
			Args: []any{string(h.Scope), h.Target, h.generation, text, next.UnixMilli(), delay.Milliseconds()},
		}
	})
}

// changeProbed changes holds whose probe is still this process's.
func (o *Outbox) changeProbed(
	ctx context.Context, s *store, probed []*Hold, event string, change func(*Hold) *database.Statement,
) error {
	if len(probed) == 0 {
		return nil
	}
	statements := make([]*database.Statement, len(probed))
	for i, h := range probed {
		statements[i] = change(h)
	}
	if err := s.Write(ctx, &database.Write{Statements: statements}); err != nil {
		return err
	}
	err := o.readHolds(ctx, s)
	for i, h := range probed {
		if event != "" && statements[i].Changed > 0 {
			o.settings.Load().Notify(Event{Name: event, Hold: *h})
		}
	}
	o.wake()
	return err
}
