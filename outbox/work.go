package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	firstRetry = time.Second
	lastRetry  = 15 * time.Minute
	// uncertainWait gives Mandrill's search time to know of a message.
	uncertainWait = 20 * time.Second
	// sealedWait is how long an entry waits whose key isn't configured.
	sealedWait = time.Minute
)

// A Deliverer delivers entries. It is called by several goroutines at once.
type Deliverer interface {
	Deliver(ctx context.Context, d Delivery) Result
}

// Delivery is one attempt.
type Delivery struct {
	Entry
	// Uncertain tells that an earlier attempt may have succeeded.
	Uncertain bool
	// Unrendered tells that the content is what the entry is to be rendered from.
	Unrendered bool
}

// Verdict says what became of an attempt.
type Verdict int

// The verdicts.
const (
	// VerdictSent: delivered to at least one recipient.
	VerdictSent Verdict = iota + 1
	// VerdictRejected: refused for every recipient.
	VerdictRejected
	// VerdictDead: refused, and would be again.
	VerdictDead
	// VerdictDiscarded: not to be delivered after all.
	VerdictDiscarded
	// VerdictRetry: it may go well later.
	VerdictRetry
	// VerdictHold: the account can't send now.
	VerdictHold
	// VerdictUnknown: it may have been delivered.
	VerdictUnknown
	// VerdictUnrendered: it still can't be rendered.
	VerdictUnrendered
)

// Result is what a Deliverer says of an attempt.
type Result struct {
	Verdict Verdict
	// Reason says why, for the operator. It holds nothing personal.
	Reason string
	// After is the least time until the next attempt.
	After time.Duration
	// Outcome is JSON that is kept with the entry.
	Outcome json.RawMessage
	// Content replaces the content of an entry that was unrendered.
	Content []byte
}

// backoff is the time between the attempt that is the nth to fail and the next: 1 s, doubled each time up to
// 15 min, and then up to a quarter less, by jitter between 0 and 1.
func backoff(n int, jitter float64) time.Duration {
	delay := lastRetry
	if n < 11 { // 2^10 s is more than lastRetry
		delay = min(firstRetry<<(n-1), lastRetry)
	}
	return delay - time.Duration(jitter*float64(delay)/4)
}

type worker struct {
	river.WorkerDefaults[args]
	o *Outbox
}

// Work makes one attempt. It commits what ends an entry by itself, and leaves to River what is tried again.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	o := w.o
	o.mu.Lock()
	running := o.running
	o.working[job.ID] = true
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		delete(o.working, job.ID)
		o.mu.Unlock()
	}()
	// What waits goes back when the outbox stops; what is being sent is left to its end.
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	unlink := context.AfterFunc(running, cancel)
	defer unlink()
	t := &try{o: o, job: job, settings: o.settings.Load(), waiting: waiting}
	if err := json.Unmarshal(job.Metadata, &t.meta); err != nil {
		return t.finish(ctx, Dead, "the entry can't be read")
	}
	err := t.run(ctx)
	if errors.Is(err, errTaken) {
		return nil // whoever took the entry has written down what became of it
	}
	return err
}

// errTaken says that the entry isn't this worker's any more: the operator discarded it while it waited, or
// another process thought that this one was dead.
var errTaken = errors.New("the entry was taken away")

// try is one attempt of an entry.
type try struct {
	o        *Outbox
	job      *river.Job[args]
	meta     meta
	settings *Settings
	// waiting ends when the entry is not to wait any more.
	waiting context.Context
}

func (t *try) run(ctx context.Context) error {
	m, o := &t.meta, t.o
	if m.Claimed {
		m.Claimed, m.Uncertain = false, true
		return t.finish(ctx, Dead, "whoever was sending it didn't say how that ended: it isn't known whether it was sent")
	}
	if t.job.Attempt > m.Base+1 {
		m.Base = t.job.Attempt - 1
		if !m.Waiting {
			// A process was killed while it was sending.
			m.Uncertain = true
			m.note(time.Now(), "interrupted: it isn't known whether it was sent")
			o.notify("interrupted", o.entry(t.job.JobRow, m), m.Reason, uncertainWait)
			return t.later(ctx, uncertainWait)
		}
	}
	g := o.gate(m.Sender)
	for {
		if reason := t.over(); reason != "" {
			if m.Expires != 0 && m.Expires <= time.Now().UnixMilli() {
				return t.finish(ctx, Expired, reason)
			}
			return t.finish(ctx, Dead, reason)
		}
		probe, err := t.pass(ctx, g)
		if err != nil {
			if probe {
				g.leave()
			}
			return err
		}
		if t.over() != "" {
			if probe {
				g.leave()
			}
			continue
		}
		content, err := o.vault.open(t.job.Args.Content)
		if err != nil {
			if probe {
				g.leave()
			}
			m.Reason = err.Error()
			return t.later(ctx, sealedWait)
		}
		delivery := Delivery{Entry: o.entry(t.job.JobRow, m), Uncertain: m.Uncertain, Unrendered: m.Unrendered}
		delivery.Content = content
		r := t.settings.Deliverer.Deliver(ctx, delivery)
		if again, err := t.judge(ctx, g, probe, r); !again {
			return err
		}
	}
}

// over says why the entry is not to be tried any more, or nothing.
func (t *try) over() string {
	now := time.Now()
	if t.meta.Expires != 0 && t.meta.Expires <= now.UnixMilli() {
		return "it expired before it could be sent"
	}
	if tried := now.Sub(t.job.CreatedAt) - time.Duration(t.meta.Held)*time.Millisecond; t.meta.Tries > 0 && tried > t.settings.RetryFor {
		return "it was retried for as long as retry_for says; at last: " + t.meta.Reason
	}
	return ""
}

// pass waits at the sender's gate.
func (t *try) pass(ctx context.Context, g *gate) (probe bool, err error) {
	if g.open() && !t.meta.Waiting {
		return false, nil
	}
	began := time.Now()
	if !g.open() {
		t.meta.Waiting = true
		if err := t.save(ctx); err != nil {
			return false, err
		}
	}
	waiting := t.waiting
	if t.meta.Expires != 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(waiting, fromMilliseconds(t.meta.Expires))
		defer cancel()
	}
	probe, err = g.pass(waiting)
	t.meta.Held += time.Since(began).Milliseconds()
	if err != nil && (t.waiting.Err() != nil || errors.Is(err, errGone)) {
		// Nothing is in flight: the next process may begin at once.
		return probe, t.later(ctx, 0)
	}
	// From here on, a kill leaves an entry that is uncertain.
	t.meta.Waiting = false
	return probe, t.save(ctx)
}

// judge does what the result asks for. again tells that the entry is to be tried once more at once, after
// it has waited at the gate.
func (t *try) judge(ctx context.Context, g *gate, probe bool, r Result) (again bool, err error) {
	m, o := &t.meta, t.o
	if r.Outcome != nil {
		m.Outcome = r.Outcome
	}
	if r.Content != nil {
		t.job.Args.Content = o.vault.seal(r.Content)
		m.Unrendered = false
	}
	entry := o.entry(t.job.JobRow, m)
	answered := r.Verdict == VerdictSent || r.Verdict == VerdictRejected || r.Verdict == VerdictDead
	if answered {
		if g.release() {
			o.notify("release", Entry{Sender: m.Sender}, "", 0)
		}
	} else if probe && r.Verdict != VerdictHold {
		g.leave()
	}
	switch r.Verdict {
	case VerdictSent:
		m.Uncertain = false
		return false, t.finish(ctx, Sent, r.Reason)
	case VerdictRejected:
		return false, t.finish(ctx, Rejected, r.Reason)
	case VerdictDead:
		return false, t.finish(ctx, Dead, r.Reason)
	case VerdictDiscarded:
		return false, t.finish(ctx, Discarded, r.Reason)
	case VerdictUnrendered:
		m.Unrendered = true
		m.note(time.Now(), r.Reason)
		return false, t.apply(ctx, change{state: rivertype.JobStatePending, meta: m}, Unrendered)
	case VerdictHold:
		m.Uncertain = false
		if g.hold(r.Reason, r.After) {
			o.notify("hold", Entry{Sender: m.Sender}, r.Reason, 0)
		}
		m.Reason = r.Reason
		return true, nil
	case VerdictUnknown:
		m.Uncertain = true
		m.Tries++
		m.note(time.Now(), r.Reason)
		o.notify("retry", entry, r.Reason, uncertainWait)
		return false, t.later(ctx, uncertainWait)
	default:
		m.Uncertain = false
		m.Tries++
		m.note(time.Now(), r.Reason)
		delay := max(backoff(m.Tries, rand.Float64()), min(r.After, lastRetry))
		o.notify("retry", entry, r.Reason, delay)
		return false, t.later(ctx, delay)
	}
}

// later gives the entry back for another attempt, which is not later than its expiry.
func (t *try) later(ctx context.Context, delay time.Duration) error {
	if t.meta.Expires != 0 {
		delay = max(0, min(delay, time.Until(fromMilliseconds(t.meta.Expires))))
	}
	if err := t.save(ctx); err != nil {
		return err
	}
	return river.JobSnooze(delay)
}

// save keeps the metadata and the content of an entry that stays in the hands of this worker.
func (t *try) save(ctx context.Context) error {
	return t.persist(ctx, func(ctx context.Context) error {
		changed, err := t.o.store.apply(ctx, t.job.ID, t.job.Args.Key, change{state: rivertype.JobStateRunning, meta: &t.meta, content: t.job.Args.Content}, rivertype.JobStateRunning)
		if err == nil && !changed {
			return errTaken
		}
		return err
	})
}

// finish ends the entry, and wipes its content in the same statement.
func (t *try) finish(ctx context.Context, state State, reason string) error {
	t.meta.State = state
	t.meta.note(time.Now(), reason)
	wipe := state != Dead && (t.meta.Private || !t.settings.KeepContent)
	c := change{state: final[state], meta: &t.meta, wipe: wipe}
	if !wipe {
		c.content = t.job.Args.Content
	}
	return t.apply(ctx, c, state)
}

func (t *try) apply(ctx context.Context, c change, state State) error {
	// The attempt has ended, and is none that a kill has cut off.
	t.meta.Base = t.job.Attempt
	changed := false
	err := t.persist(ctx, func(ctx context.Context) (err error) {
		changed, err = t.o.store.apply(ctx, t.job.ID, t.job.Args.Key, c, rivertype.JobStateRunning)
		return err
	})
	if err != nil {
		return err
	}
	entry := t.o.entry(t.job.JobRow, &t.meta)
	entry.State = state
	if !changed {
		// Another process thought that this one was dead.
		t.o.notify("lost", entry, "the entry was taken over while it was sent", 0)
		return nil
	}
	t.o.pending.Add(-1)
	t.o.notify(string(state), entry, t.meta.Reason, 0)
	return nil
}

// persist tries a statement until the database takes it: what was sent must not be sent again because the
// database was away for a moment.
func (t *try) persist(ctx context.Context, statement func(context.Context) error) error {
	for n := 1; ; n++ {
		err := statement(context.WithoutCancel(ctx))
		if err == nil || errors.Is(err, errTaken) {
			return err
		}
		t.o.logger.Error("keeping the state of an entry", "entry", strconv.FormatInt(t.job.ID, 10), "error", err)
		select {
		case <-time.After(min(backoff(n, 0)/10, 5*time.Second)):
		case <-ctx.Done():
			return err
		}
	}
}
