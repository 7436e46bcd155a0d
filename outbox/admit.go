package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// ErrHeld means that what would be sent is held or paused.
var ErrHeld = errors.New("held")

// Admission lets a caller that delivers an entry itself take part in the holds of its account.
type Admission struct {
	o       *Outbox
	s       *store
	claimed *claimed
}

// Admit returns at once. The error is ErrHeld, with the reason, if the entry's account, sub-account or sender is held
// or paused. If a probe of the hold is due, the caller makes it. Done must follow.
func (o *Outbox) Admit(ctx context.Context, entry New) (*Admission, error) {
	s, err := o.opened()
	if err != nil {
		return nil, err
	}
	account := o.accountOf(s, o.settings.Load(), entry.Sender)
	delivered := Entry{
		ID: entry.ID, State: Sending, Sender: entry.Sender, Subaccount: entry.Subaccount, Template: entry.Template,
	}
	holds := o.holdsOf(laneFor(delivered), account)
	a := &Admission{o, s, &claimed{row: &row{Entry: delivered}, account: account, began: time.Now()}}
	now, prober := o.now(), o.NewID()
	write := new(database.Write)
	for _, h := range holds {
		if h.Paused || h.Probe.After(now) {
			return nil, fmt.Errorf("%w: %s", ErrHeld, h.Reason)
		}
		write.Statements = append(write.Statements, claimProbe(h, prober, now))
		a.claimed.probed = append(a.claimed.probed, h.claimed())
	}
	if len(holds) == 0 {
		return a, nil
	}
	if err := s.Write(ctx, write); err != nil {
		return nil, err
	}
	for i, h := range holds {
		if write.Statements[i].Changed == 0 {
			return nil, fmt.Errorf("%w: %s", ErrHeld, h.Reason)
		}
	}
	return a, o.readHolds(ctx, s)
}

// Done stores what the result means for holds.
func (a *Admission) Done(ctx context.Context, r Result) error {
	return a.o.judgeHolds(ctx, a.s, a.claimed, r)
}

// budgetWindow divides time for Allow. Three uses in each are fewer than 20 in any minute.
const budgetWindow = 12 * time.Second

// Allow reports whether a sender's account may be asked once more in this window of 12 s, of as many times as given, by
// all processes together. What says what for.
func (o *Outbox) Allow(ctx context.Context, what, sender string, most int) (bool, error) {
	s, err := o.opened()
	if err != nil {
		return false, err
	}
	name := what + " " + o.accountOf(s, o.settings.Load(), sender)
	window := o.now().Truncate(budgetWindow).UnixMilli()
	used, err := s.exec(ctx, "INSERT INTO budget (name, time, used) VALUES ($1, $2, 1) ON CONFLICT (name) DO UPDATE SET "+
		"used = CASE WHEN budget.time = excluded.time THEN budget.used + 1 ELSE 1 END, time = excluded.time "+
		"WHERE budget.time <> excluded.time OR budget.used < $3", name, window, int64(most))
	return used > 0, err
}

// LastSent returns the newest entry of a sender that was sent before a time, or none.
func (o *Outbox) LastSent(ctx context.Context, sender string, before time.Time) (Entry, error) {
	s, err := o.opened()
	if err != nil {
		return Entry{}, err
	}
	rows, err := s.listed(ctx, "entry WHERE "+isForgettable+" AND state = 'sent' "+
		"AND ended < $1 AND sender = $2 AND outcome <> '' ORDER BY ended DESC LIMIT 1", before.UnixMilli(), sender)
	if err != nil || len(rows) == 0 {
		return Entry{}, err
	}
	return rows[0].Entry, nil
}
