package outbox

import (
	"context"
	"time"
)

// A Deliverer delivers entries. It is called by several goroutines at once, each with an entry that no other has. A
// call may take as long as it needs: it occupies one of the account's workers, and its context ends only if Stop loses
// patience. A panic counts as an unknown outcome.
type Deliverer interface {
	Deliver(ctx context.Context, d Delivery) Result
}

// A Prober is a Deliverer that can ask whether a hold may be over without delivering anything. Its error is the reason
// why it is not; without one, the entry is delivered as a probe.
type Prober interface {
	Probe(ctx context.Context, hold Hold, entry Entry) error
}

// Delivery is one attempt.
type Delivery struct {
	Entry
	// Uncertain says that an earlier attempt may have been accepted. The call must send nothing, but find out: it
	// returns what was found, VerdictNotAccepted, VerdictResend, or VerdictRetry to be asked later.
	Uncertain bool
	// Unrendered says that the content is what the entry is to be rendered from.
	Unrendered bool
	// Backlogged is when the account accepted the entry and kept it back, as Outcome says, or zero. While the
	// entry's state is backlogged, the call must send nothing, but look it up.
	Backlogged time.Time
	// Revived says that the operator retried the entry after it had ended, or could not be rendered.
	Revived bool
}

// Verdict says what became of an attempt.
type Verdict int

// The verdicts.
const (
	// VerdictSent means delivered to at least one recipient.
	VerdictSent Verdict = iota + 1
	// VerdictRejected means refused for every recipient.
	VerdictRejected
	// VerdictDead means refused, as it would be again.
	VerdictDead
	// VerdictDiscarded means not to be delivered after all.
	VerdictDiscarded
	// VerdictRetry means that it may succeed later.
	VerdictRetry
	// VerdictHold means that what Scope says cannot send now.
	VerdictHold
	// VerdictWait means that another entry is to be delivered first. It is no failure, however long it takes.
	VerdictWait
	// VerdictUnknown means that it may have been accepted.
	VerdictUnknown
	// VerdictUnrendered means that it still cannot be rendered.
	VerdictUnrendered
	// VerdictRendered means that it was rendered, and is now to be delivered.
	VerdictRendered
	// VerdictBacklogged means that the account has accepted it and keeps it back, as Outcome says. After a sending,
	// it begins a hold of Scope too.
	VerdictBacklogged
	// VerdictResend means that nobody can tell whether an uncertain entry was accepted: it is sent once more.
	VerdictResend
	// VerdictNotAccepted means that an uncertain entry was certainly not accepted: it is retried as any other.
	VerdictNotAccepted
)

// Result is what a Deliverer says of an attempt.
type Result struct {
	Verdict Verdict
	// Reason says why, for the operator. It holds nothing personal.
	Reason string
	// After is the least time until the next attempt, or until the next probe of a hold. With VerdictUnknown, it
	// replaces the time until the entry is looked for, if it is shorter.
	After time.Duration
	// SlowDown has the account send one entry at a time, and more again with each that is answered, as after a hold.
	SlowDown bool
	// RateLimited means that the account asks for fewer calls in a time.
	RateLimited bool
	// Scope is what VerdictHold and VerdictBacklogged hold. Default: ScopeKey.
	Scope Scope
	// Outcome is kept with the entry.
	Outcome []Recipient
	// KeepContent keeps the content of an entry that was sent, for those recipients that were refused.
	KeepContent bool
	// Rendered is what an entry that was unrendered has become: its Sender, Subaccount, Recipients, Content, Private
	// and Expires, and its Key if that is another one now.
	Rendered *New
}
