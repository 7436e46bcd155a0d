package outbox

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// claimed returns the hold as it is for whoever has claimed its probe.
func (h *Hold) claimed() *Hold {
	mine := *h
	mine.generation++
	return &mine
}

// claimProbe is what makes a probe the prober's: it raises the generation.
func claimProbe(h *Hold, prober string, now time.Time) *database.Statement {
	return &database.Statement{
		SQL: "UPDATE hold SET probe = $4, prober = $5, generation = generation + 1 " +
			"WHERE scope = $1 AND target = $2 AND generation = $3 AND probe <= $6",
		Args: []any{string(h.Scope), h.Target, h.generation, now.Add(probeLease).UnixMilli(), prober, now.UnixMilli()},
	}
}

// probeNow makes all holds be probed at once: what caused them may be fixed.
func (o *Outbox) probeNow(ctx context.Context, s *store) error {
	_, err := s.exec(ctx, "UPDATE hold SET probe = $1, delay = 0 WHERE scope NOT IN ('pause', 'pause_template')",
		o.now().UnixMilli())
	if err == nil {
		err = o.readHolds(ctx, s)
	}
	return err
}

// idleProbe is how long a probe is due before it is clear that no entry waits to make it.
const idleProbe = 30 * time.Second

// probeIdle ends holds that nothing waits for, if what a Prober asks is enough to tell that they are over: an account
// that works again must not look held until the next entry comes.
func (o *Outbox) probeIdle(ctx context.Context, s *store) error {
	settings, now := o.settings.Load(), o.now()
	prober, is := settings.Deliverer.(Prober)
	if !is {
		return nil
	}
	for _, h := range o.Holds() {
		isEnough := h.Scope == ScopeDomain || h.Scope == ScopeKey && strings.HasPrefix(h.Reason, outageReason)
		if !isEnough || now.Sub(h.Probe) < idleProbe || !slices.Contains(settings.Senders, h.Sender) {
			continue
		}
		claim := claimProbe(&h, o.NewID(), now)
		if err := s.Write(ctx, &database.Write{Statements: []*database.Statement{claim}}); err != nil {
			return err
		}
		if claim.Changed == 0 {
			continue // another process was faster
		}
		mine := []*Hold{h.claimed()}
		err := o.safely("probing a hold", func() error { return prober.Probe(ctx, *mine[0], Entry{Sender: h.Sender}) })
		if err != nil {
			err = o.extendHolds(ctx, s, mine, "", 0)
		} else {
			err = o.endHolds(ctx, s, mine)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
