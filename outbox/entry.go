package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is where an entry is in its life. See the package's description.
type State string

// The states.
const (
	Pending    State = "pending"
	Sending    State = "sending"
	Retrying   State = "retrying"
	Uncertain  State = "uncertain"
	Backlogged State = "backlogged"
	Sent       State = "sent"
	Rejected   State = "rejected"
	Dead       State = "dead"
	Expired    State = "expired"
	Discarded  State = "discarded"
	Unrendered State = "unrendered"
)

// States are all states, in the order of an entry's life.
var States = []State{
	Unrendered, Pending, Sending, Retrying, Uncertain, Backlogged, Sent, Rejected, Dead, Expired, Discarded,
}

// Valid reports whether it is one of States.
func (s State) Valid() bool { return slices.Contains(States, s) }

// undelivered reports whether an entry in the state counts as pending.
func (s State) undelivered() bool {
	return s == Pending || s == Sending || s == Retrying || s == Uncertain || s == Backlogged
}

// SQL of states. Indexes have the same conditions.
const (
	isWaiting     = "state IN ('pending', 'retrying')"
	isLookedUp    = "state IN ('uncertain', 'backlogged')"
	isUndelivered = notSent + "state IN ('pending', 'sending', 'retrying', 'uncertain', 'backlogged')"
	isLeft        = notSent +
		"state IN ('pending', 'sending', 'retrying', 'uncertain', 'backlogged', 'unrendered', 'dead')"
	isSending    = notSent + "state = 'sending'"
	isDead       = notSent + "state = 'dead'"
	isUnrendered = notSent + "state = 'unrendered'"
	// notSent has SQLite use the index of all states but that one.
	notSent       = "state <> 'sent' AND "
	isForgettable = "state IN ('sent', 'rejected', 'expired', 'discarded')"
)

// New is an entry to be accepted.
type New struct {
	// ID is what NewID has returned, or empty for a new one.
	ID string
	// Key is the idempotency key, scoped by the caller.
	Key string
	// Remember is how long an equal Key is the same entry. 0 is as long as the entry is there.
	Remember time.Duration
	// FormerKey is the key that the entry would have had before its caller could give it Key: an entry that has it is
	// the same one too. FormerRemember is Remember of such a key. Default: none.
	FormerKey      string
	FormerRemember time.Duration
	// Ordered says that the entry carries the current state of its recipients, two at most: Order then reports whether
	// an earlier one of the same recipient is unfinished. An equal Key that is remembered for a while is the same
	// entry only until another ordered entry of the same recipient is accepted. After yes, no, yes, the second yes
	// is a new entry.
	Ordered bool
	// Sender is the sender's name, a domain. Entries of a sender that is not configured wait.
	Sender string
	// Subaccount is the part of the sender's account that sends, or empty.
	Subaccount string
	// Hook and Template say where the entry comes from, and Handler which handler made it.
	Hook, Template, Handler string
	// Recipients are addresses. They are kept as keyed hashes, to be searched for.
	Recipients []string
	// Content is what the Deliverer delivers.
	Content []byte
	// Private content is wiped at the end of the entry, whatever the settings.
	Private bool
	// Expires is when the entry becomes useless, or zero. One that expires within an hour is urgent: it is sent
	// before others.
	Expires time.Time
	// Unrendered says why Content is not what is to be delivered yet, but what it is to be rendered from.
	Unrendered string
	// Trace ties the entry to the request that it came with.
	Trace string
	// Claim is for an entry that its caller delivers: within this time, Settle says what became of it. After that
	// the outcome is unknown, and the entry is dead. Meanwhile it holds its key. 0 is for all others.
	Claim time.Duration
}

// urgentWithin is the life of an urgent entry.
const urgentWithin = time.Hour

func isUrgent(accepted, expires time.Time) bool {
	return !expires.IsZero() && expires.Sub(accepted) <= urgentWithin
}

// Entry is an entry as it is now.
type Entry struct {
	ID         string    `json:"id"`
	State      State     `json:"state"`
	Sender     string    `json:"sender"`
	Subaccount string    `json:"subaccount,omitempty"`
	Hook       string    `json:"hook"`
	Template   string    `json:"template"`
	Accepted   time.Time `json:"accepted"`
	// Due is when it is tried next, if it waits for that.
	Due time.Time `json:"due,omitzero"`
	// Ended is when it got into its final state.
	Ended    time.Time `json:"ended,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Attempts []Attempt `json:"attempts,omitempty"`
	// Reason says why it is in this state.
	Reason string `json:"reason,omitempty"`
	// Outcome is what the Deliverer said of each recipient.
	Outcome []Recipient `json:"outcome,omitempty"`
	Trace   string      `json:"trace,omitempty"`
	Private bool        `json:"private,omitempty"`
	// Uncertain says that an attempt may have been accepted although no answer reached us.
	Uncertain bool `json:"uncertain,omitempty"`
	// Recipients are hashes of the addresses.
	Recipients []string `json:"recipients,omitempty"`
	// Events are what was reported of the mail after it was sent, the oldest first.
	Events []MailEvent `json:"events,omitempty"`
	// Handler is what made it.
	Handler string `json:"-"`
	// Content is there only where it was asked for, and is not wiped.
	Content []byte `json:"-"`
}

// Attempt is one try of an entry's delivery.
type Attempt struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason,omitempty"`
}

// Recipient is what became of an entry for one of its recipients.
type Recipient struct {
	// Email is the address, or empty where addresses are not kept.
	Email  string `json:"email,omitempty"`
	Status string `json:"status"`
	// ID is the deliverer's name of the message to this recipient.
	ID           string `json:"_id,omitempty"`
	RejectReason string `json:"reject_reason,omitempty"`
	QueuedReason string `json:"queued_reason,omitempty"`
}

// MailEvent is what was reported of a mail after it was sent.
type MailEvent struct {
	Time time.Time `json:"time"`
	// Event is a word such as delivered.
	Event string `json:"event"`
	// Message is the deliverer's id of the mail to one recipient.
	Message string `json:"message,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// maxAttempts is how many attempts are kept in an entry, the last ones.
const maxAttempts = 20

// row is an entry with what only this package knows of it.
type row struct {
	Entry
	key                          string
	keyUntil                     int64
	claimed, unrendered, revived bool
	// due is the time in the table, which stays while the entry is being sent.
	due time.Time
	// attempt counts the claims and fences what a worker writes.
	attempt int
	// tries, unknowns and holds count attempts that failed, whose outcome is unknown, and that met a hold.
	tries, unknowns, holds int
	// retried is the sum of the delays of all retries.
	retried time.Duration
	// backlogged is when the account accepted the message and kept it back.
	backlogged time.Time
	// stored is the content as it is stored, and size what it has in bytes if it was not read.
	stored []byte
	size   int64
}

// columns are what read scans, but for the content.
const columns = "id, state, sender, subaccount, hook, template, handler, trace, private, claimed, " +
	"unrendered, revived, key, key_until, accepted, due, expires, ended, attempt, " +
	"tries, unknowns, retried, holds, backlogged, reason, recipients, outcome, attempts, events"

// read reads a row of columns and the content.
func read(scan func(...any) error) (*row, error) {
	r := new(row)
	var accepted, due, expires, ended, retried, backlogged int64
	var private, claimed, unrendered, revived int
	var recipients, outcome, attempts, events string
	err := scan(&r.ID, &r.State, &r.Sender, &r.Subaccount, &r.Hook, &r.Template, &r.Handler, &r.Trace,
		&private, &claimed, &unrendered, &revived, &r.key, &r.keyUntil, &accepted, &due, &expires, &ended,
		&r.attempt, &r.tries, &r.unknowns, &retried, &r.holds, &backlogged,
		&r.Reason, &recipients, &outcome, &attempts, &events, &r.stored)
	if err != nil {
		return nil, err
	}
	r.Private, r.claimed, r.unrendered, r.revived = private != 0, claimed != 0, unrendered != 0, revived != 0
	r.Accepted, r.Expires, r.Ended, r.backlogged = toTime(accepted), toTime(expires), toTime(ended), toTime(backlogged)
	r.due = toTime(due)
	if r.State.undelivered() && r.State != Sending {
		r.Due = r.due
	}
	r.retried = time.Duration(retried) * time.Millisecond
	r.Uncertain = r.State == Uncertain || r.unknowns > 0 && r.State != Sent && r.State != Rejected
	r.Recipients = strings.Fields(recipients)
	err = errors.Join(decode(outcome, &r.Outcome), decode(attempts, &r.Attempts), decode(events, &r.Events))
	if err != nil {
		return nil, fmt.Errorf("reading the entry %s: %w", r.ID, err)
	}
	return r, nil
}

// urgent reports whether the entry is sent before others.
func (r *row) urgent() bool { return isUrgent(r.Accepted, r.Expires) }

// waitingState is the state of an entry that waits to be sent.
func (r *row) waitingState() State {
	if len(r.Attempts) == 0 && r.unknowns == 0 {
		return Pending
	}
	return Retrying
}

func (r *row) note(now time.Time, reason string) {
	r.Reason = reason
	r.Attempts = append(r.Attempts, Attempt{now.UTC().Truncate(time.Millisecond), r.Reason})
	if surplus := len(r.Attempts) - maxAttempts; surplus > 0 {
		r.Attempts = r.Attempts[surplus:]
	}
}

// encode returns a list as JSON, or nothing for an empty one.
func encode[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	encoded, _ := json.Marshal(list) // it has strings and times alone
	return string(encoded)
}

// decode reads what encode wrote.
func decode[T any](text string, to *[]T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), to)
}

func toMilliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func toTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
