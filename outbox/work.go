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
	// Taken is when the account took the entry and kept it back, which Outcome tells, or zero.
	Taken time.Time
	// Revived tells that the operator had the entry tried again after it had ended, or couldn't be rendered.
	Revived bool
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
	// VerdictWait: another entry is to be delivered first. It is no failure, however long it takes.
	VerdictWait
	// VerdictUnknown: it may have been delivered.
	VerdictUnknown
	// VerdictUnrendered: it still can't be rendered.
	VerdictUnrendered
	// VerdictRendered: it was rendered, and is now to be delivered.
	VerdictRendered
	// VerdictGivenUp: the account took it, kept it back and gave it up.
	VerdictGivenUp
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
	// Uncertain tells, of VerdictRetry and VerdictHold, that an earlier attempt may still have succeeded.
	Uncertain bool
	// Rendered is what an entry that was unrendered has become: its Sender, Recipients, Content, Private and Expires.
	Rendered *New
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
	mine := hand{job.Queue, job.Attempt}
	o.working[job.ID] = mine
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		if o.working[job.ID] == mine { // or it was taken away, and this process has it again
			delete(o.working, job.ID)
		}
		o.mu.Unlock()
	}()
	// What waits goes back when the outbox stops; what is being sent is left to its end.
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	unlink := context.AfterFunc(running, cancel)
	defer unlink()
	t := &try{o: o, job: job, waiting: waiting}
	if err := json.Unmarshal(job.Metadata, &t.meta); err != nil {
		return t.finish(ctx, Dead, "the entry can't be read")
	}
	err := t.run(ctx)
	if errors.Is(err, errTaken) {
		return nil // River completes nothing: see endingDriver
	}
	return err
}

// errTaken says that the entry isn't this worker's any more: the operator discarded it while it waited, or
// another process thought that this one was dead.
var errTaken = errors.New("the entry was taken away")

// try is one attempt of an entry.
type try struct {
	o    *Outbox
	job  *river.Job[args]
	meta meta
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
	for {
		if t.expired() {
			return t.finish(ctx, Expired, "it expired before it could be sent")
		}
		g := o.gate(m.Sender)
		probe, err := t.pass(ctx, g)
		again := false
		if err == nil {
			again, err = t.attempt(ctx, g, probe)
		} else if probe {
			g.leave()
		}
		if !again {
			return err
		}
	}
}

// attempt tries the entry once. again tells that it is to be tried once more, after it has waited at the gate.
func (t *try) attempt(ctx context.Context, g *gate, probe bool) (again bool, err error) {
	m, o := &t.meta, t.o
	if t.expired() {
		if probe {
			g.leave()
		}
		return true, nil
	}
	content, err := o.vault.Load().open(t.job.Args.Content)
	if err != nil {
		if probe {
			g.leave()
		}
		return false, t.sealed(ctx, err)
	}
	delivery := Delivery{
		Entry: o.entry(t.job.JobRow, m), Uncertain: m.Uncertain, Unrendered: m.Unrendered, Taken: fromMilliseconds(m.Taken), Revived: m.Revived,
	}
	delivery.Content = content
	// A reload may have changed the settings while the entry waited.
	return t.judge(ctx, g, probe, t.deliver(ctx, delivery))
}

// deliver is the Deliverer's doing. Where that panics, the attempt has failed.
func (t *try) deliver(ctx context.Context, d Delivery) (r Result) {
	err := t.o.guard("delivering an entry", func() error {
		r = t.o.settings.Load().Deliverer.Deliver(ctx, d)
		return nil
	}, "entry", d.ID)
	if err != nil {
		r = Result{Verdict: VerdictUnknown, Reason: "the delivery crashed: see the log"}
	}
	return r
}

// sealed lets an entry wait whose content can't be opened for want of a key, and ends one whose content is damaged.
func (t *try) sealed(ctx context.Context, reason error) error {
	if errors.Is(reason, errDamaged) {
		return t.finish(ctx, Dead, reason.Error())
	}
	if t.meta.Reason != reason.Error() {
		t.meta.Reason = reason.Error()
		t.o.notify("sealed", t.o.entry(t.job.JobRow, &t.meta), t.meta.Reason, sealedWait)
	}
	return t.later(ctx, sealedWait)
}

func (t *try) expired() bool {
	return t.meta.Expires != 0 && t.meta.Expires <= time.Now().UnixMilli()
}

// pass waits at the sender's gate.
func (t *try) pass(ctx context.Context, g *gate) (probe bool, err error) {
	if g.open() && !t.meta.Waiting {
		return false, nil
	}
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
	switch {
	case errors.Is(err, errGone):
		return probe, t.later(ctx, time.Second) // until the queue is idle, it is fetched again
	case err != nil && t.waiting.Err() != nil:
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
	switch r.Verdict {
	case VerdictSent, VerdictRejected, VerdictDead:
		if g.release() {
			o.notify("release", Entry{Sender: m.Sender}, "", 0)
		}
	case VerdictHold:
	default:
		if probe {
			g.leave()
		}
	}
	switch r.Verdict {
	case VerdictSent:
		m.Uncertain = false
		return false, t.finish(ctx, Sent, r.Reason)
	case VerdictRejected:
		return false, t.finish(ctx, Rejected, r.Reason)
	case VerdictDead, VerdictGivenUp:
		return false, t.finish(ctx, Dead, r.Reason)
	case VerdictDiscarded:
		return false, t.finish(ctx, Discarded, r.Reason)
	case VerdictUnrendered:
		m.note(time.Now(), r.Reason)
		return false, t.apply(ctx, change{state: rivertype.JobStatePending, meta: m}, Unrendered)
	case VerdictRendered:
		return true, t.rendered(ctx, r.Rendered)
	case VerdictHold:
		m.Uncertain = r.Uncertain
		if r.Outcome != nil && m.Taken == 0 {
			m.Taken = time.Now().UnixMilli()
		}
		if g.hold(r.Reason, r.After, probe) {
			o.notify("hold", Entry{Sender: m.Sender}, r.Reason, 0)
		}
		m.Reason = r.Reason
		return true, nil
	case VerdictWait:
		if m.Reason != r.Reason {
			m.note(time.Now(), r.Reason) // once: from here on it is retrying
		}
		return false, t.later(ctx, r.After)
	case VerdictUnknown:
		g.failed(r.Reason)
		m.Uncertain = true
		return false, t.retry(ctx, r.Reason, uncertainWait)
	default:
		g.failed(r.Reason)
		m.Uncertain = r.Uncertain
		return false, t.retry(ctx, r.Reason, max(backoff(m.Tries+1, rand.Float64()), min(r.After, lastRetry)))
	}
}

// rendered makes the entry what it has been rendered to.
func (t *try) rendered(ctx context.Context, n *New) error {
	m := &t.meta
	m.Unrendered, m.Sender, m.Private, m.Expires = false, n.Sender, m.Private || n.Private, milliseconds(n.Expires)
	t.job.Args.Content = t.o.vault.Load().seal(n.Content)
	t.job.Tags = t.o.store.tags(n.Recipients)
	return t.write(ctx, change{
		state: rivertype.JobStateRunning, meta: m, content: t.job.Args.Content, queue: queueOf(n.Sender), tags: t.job.Tags,
	})
}

// retry tries the entry again after a failed attempt, until it has been retried for as long as it may be. Only delays count: no
// hold, no backlog, and no time in which no process ran.
func (t *try) retry(ctx context.Context, reason string, delay time.Duration) error {
	m := &t.meta
	if time.Duration(m.Retried)*time.Millisecond >= t.o.settings.Load().RetryFor {
		return t.finish(ctx, Dead, "it was retried for as long as retry_for says; at last: "+reason)
	}
	m.Tries++
	m.Retried += delay.Milliseconds()
	m.note(time.Now(), reason)
	t.o.notify("retry", t.o.entry(t.job.JobRow, m), reason, delay)
	return t.later(ctx, delay)
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
	return t.write(ctx, change{state: rivertype.JobStateRunning, meta: &t.meta, content: t.job.Args.Content})
}

// write changes the row while it is this worker's.
func (t *try) write(ctx context.Context, c change) error {
	c.attempt = t.job.Attempt
	return t.persist(ctx, func(ctx context.Context) error {
		changed, err := t.o.apply(ctx, t.job.ID, t.job.Args.Key, c, rivertype.JobStateRunning)
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
	wipe := state != Dead && (t.meta.Private || !t.o.settings.Load().KeepContent)
	c := change{state: final[state], meta: &t.meta, wipe: wipe}
	if !wipe {
		c.content = t.job.Args.Content
	}
	return t.apply(ctx, c, state)
}

func (t *try) apply(ctx context.Context, c change, state State) error {
	// The attempt has ended, and is none that a kill has cut off.
	t.meta.Base = t.job.Attempt
	entry := t.o.entry(t.job.JobRow, &t.meta)
	entry.State = state
	if err := t.write(ctx, c); err != nil {
		if errors.Is(err, errTaken) {
			t.o.notify("lost", entry, "the entry was taken over while it was sent", 0)
		}
		return err
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
