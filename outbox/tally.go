package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// tallyStep is the time that one row of counts is for, and tallyKept how long it is kept.
	tallyStep = 5 * time.Minute
	tallyKept = 48 * time.Hour
)

// tally counts what happens, for charts. It is stored every 10 s: a kill loses that much of a chart.
type tally struct {
	mu     sync.Mutex
	counts map[string]tallied
}

// tallied are counts of one sender.
type tallied struct{ accepted, sent, refused int64 }

func (t *tally) add(sender string, n tallied) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]tallied)
	}
	sum := t.counts[sender]
	t.counts[sender] = tallied{sum.accepted + n.accepted, sum.sent + n.sent, sum.refused + n.refused}
}

func (t *tally) addEnd(r *row) {
	switch r.State {
	case Sent:
		t.add(r.Sender, tallied{sent: 1})
	case Rejected, Dead:
		t.add(r.Sender, tallied{refused: 1})
	}
}

func (t *tally) take() map[string]tallied {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}

// flushTally stores the counts. What cannot be stored is counted again later.
func (o *Outbox) flushTally(ctx context.Context, s *store) {
	counts := o.tally.take()
	if len(counts) == 0 {
		return
	}
	waiting := o.pending.Load()
	write := new(database.Write)
	for sender, n := range counts {
		write.Statements = append(write.Statements, &database.Statement{
			SQL: "INSERT INTO tally (time, sender, process, accepted, sent, refused, waiting) " +
				"VALUES ($1, $2, $3, $4, $5, $6, $7) " +
				"ON CONFLICT (time, sender, process) DO UPDATE SET accepted = tally.accepted + excluded.accepted, " +
				"sent = tally.sent + excluded.sent, refused = tally.refused + excluded.refused, waiting = excluded.waiting",
			Args: []any{o.now().Truncate(tallyStep).UnixMilli(), sender, o.process, n.accepted, n.sent, n.refused, waiting},
		})
	}
	if err := s.Write(ctx, write); err != nil {
		for sender, n := range counts {
			o.tally.add(sender, n)
		}
	}
}
