package outbox

import (
	"context"
	"slices"
	"time"
)

const (
	// lastAnswers is how many answers of a sender are looked at, and fewRefusals how many there must be at least, for
	// the sender to count as refused.
	lastAnswers = 10
	fewRefusals = 3
	// mostReasons is how many reasons of rejected entries a Status has.
	mostReasons = 10
)

// refusals are the last answers of a sender: whether each was a refusal.
type refusals struct {
	last   []bool
	reason string
}

// countRefusals keeps whether the account of a sender refused what it answered for. o.mu is held.
func (o *Outbox) countRefusals(sender string, r Result) {
	if !slices.Contains(answered, r.Verdict) {
		return
	}
	of := o.refusals[sender]
	isRefusal := r.Verdict != VerdictSent
	if of.last = append(of.last, isRefusal); len(of.last) > lastAnswers {
		of.last = of.last[len(of.last)-lastAnswers:]
	}
	if isRefusal {
		of.reason = r.Reason
	}
	o.refusals[sender] = of
}

// Refused returns the senders whose last answers were all refusals, at least 3 of them.
func (o *Outbox) Refused() map[string]Failing {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := make(map[string]Failing)
	for sender, of := range o.refusals {
		if len(of.last) >= fewRefusals && !slices.Contains(of.last, false) {
			found[sender] = Failing{len(of.last), of.reason}
		}
	}
	return found
}

// Rejections counts entries that were rejected for the same reason.
type Rejections struct {
	Sender  string `json:"sender"`
	Reason  string `json:"reason"`
	Entries int    `json:"entries"`
}

// rejections counts the entries that were rejected since a time, by reason.
func (s *store) rejections(ctx context.Context, since time.Time) ([]Rejections, error) {
	found := []Rejections{}
	err := s.Read(ctx, "SELECT sender, reason, count(*) FROM entry WHERE "+isForgettable+
		" AND state = 'rejected' AND ended >= $1 GROUP BY sender, reason ORDER BY count(*) DESC, sender, reason LIMIT $2",
		[]any{since.UnixMilli(), int64(mostReasons)},
		func(scan func(...any) error) error {
			var r Rejections
			err := scan(&r.Sender, &r.Reason, &r.Entries)
			found = append(found, r)
			return err
		})
	return found, err
}

// countSealed counts the entries that wait because no key opens their content, by sender.
func (s *store) countSealed(ctx context.Context) (map[string]int, error) {
	found := make(map[string]int)
	err := s.Read(ctx, "SELECT sender, count(*) FROM entry WHERE "+notSent+isWaiting+
		" AND (reason = $1 OR substr(reason, 1, length($2)) = $2) GROUP BY sender",
		[]any{errPlain.Error(), noKeyOpens},
		func(scan func(...any) error) error {
			var sender string
			var n int
			err := scan(&sender, &n)
			found[sender] = n
			return err
		})
	return found, err
}
