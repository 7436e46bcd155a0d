package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrWiped means that an entry cannot be retried.
var ErrWiped = errors.New("the entry's content was wiped, so that it cannot be retried")

// ErrAgain means that an entry may have gone out, so that only Again retries it.
var ErrAgain = errors.New("it may have gone out already: only again retries it")

// retrying is how entries are retried.
type retrying struct {
	again  bool
	queued func(ids []string)
}

// A RetryOption changes how entries are retried.
type RetryOption func(*retrying)

// Again retries entries that are sent or uncertain too.
func Again(r *retrying) { r.again = true }

// Queued has a function be called with the IDs of the entries that were queued, after each commit.
func Queued(queued func(ids []string)) RetryOption {
	return func(r *retrying) { r.queued = queued }
}

func retryingBy(options []RetryOption) *retrying {
	r := &retrying{queued: func([]string) {}}
	for _, option := range options {
		option(r)
	}
	return r
}

// states are those in which an entry can be retried if its content is there.
func (r *retrying) states() []State {
	states := []State{Pending, Retrying, Dead, Unrendered, Rejected, Expired, Discarded}
	if r.again {
		states = append(states, Sent, Uncertain)
	}
	return states
}

// Retry queues an entry for immediate delivery, as if it had just been accepted. The error is ErrWiped if its content
// is gone, ErrAgain if it is sent or uncertain and Again is not among the options, and ErrNotFound if it is being sent,
// is backlogged or is not there.
func (o *Outbox) Retry(ctx context.Context, id string, options ...RetryOption) error {
	r := retryingBy(options)
	before, err := o.operate(ctx, id, o.retryRows(r))
	switch {
	case !errors.Is(err, ErrNotFound) || before == nil:
		return err
	case before.stored == nil && before.State != Sending && before.State != Backlogged:
		return ErrWiped
	case !r.again && (before.State == Sent || before.State == Uncertain):
		return ErrAgain
	}
	return err
}

// RetryAll is Retry for all entries that match, the oldest first: without States in the filter, for those that are
// dead, unrendered or retrying. It calls progress after each page.
func (o *Outbox) RetryAll(
	ctx context.Context, f Filter, progress func(Progress), options ...RetryOption,
) (Progress, error) {
	r := retryingBy(options)
	if !r.again && (slices.Contains(f.States, Sent) || slices.Contains(f.States, Uncertain)) {
		return Progress{}, fmt.Errorf("%w: sent and uncertain entries may have gone out already: only again retries them",
			ErrState)
	}
	return o.operateAll(ctx, f, []State{Retrying, Dead, Unrendered}, r.states(), progress, o.retryRows(r))
}

// retryRows makes entries ready to be sent, as if they had just been accepted. The outcome stays: of an entry that was
// accepted for some recipients, it says which.
func (o *Outbox) retryRows(how *retrying) operation {
	return func(ctx context.Context, s *store, rows []*row) (int, error) {
		now, states := o.now(), how.states()
		var queued []string
		n, err := o.changeRows(ctx, s, rows, func(r *row) *change {
			if r.stored == nil || !slices.Contains(states, r.State) {
				return nil
			}
			r.revived = r.revived || !r.State.undelivered()
			r.tries, r.unknowns, r.retried, r.holds = 0, 0, 0, 0
			r.backlogged = time.Time{} // what the account kept back and gave up is sent again
			return &change{state: r.waitingState(), due: now, takesKey: true}
		}, func(r *row, before State, _ *change) {
			queued = append(queued, r.ID)
			if !before.undelivered() {
				o.pending.Add(1)
			}
		})
		how.queued(queued)
		o.wake()
		return n, err
	}
}

// CountStates counts entries by their states. underWay are those of them that are being sent, or are due and not held.
func (o *Outbox) CountStates(ctx context.Context, ids []string) (counts map[State]int, underWay int, err error) {
	counts = make(map[State]int)
	s, err := o.opened()
	if err != nil {
		return counts, 0, err
	}
	for some := range slices.Chunk(ids, operatePage) {
		a := new(arguments)
		rows, err := s.listed(ctx, "entry WHERE id IN ("+a.list(some)+")", a.values...)
		if err != nil {
			return counts, 0, unavailable(err)
		}
		for _, r := range rows {
			counts[r.State]++
			underWay += int(toInt(o.isUnderWay(s, r)))
		}
	}
	return counts, underWay, nil
}

// isUnderWay reports whether an entry is being sent or will be in a moment.
func (o *Outbox) isUnderWay(s *store, r *row) bool {
	if r.State == Sending {
		return true
	}
	account := o.accountOf(s, o.settings.Load(), r.Sender)
	return (r.State == Pending || r.State == Retrying) && !r.Due.After(o.now()) && account != "" &&
		len(o.holdsOf(laneFor(r.Entry), account)) == 0
}
