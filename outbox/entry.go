package outbox

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// State is where an entry is in its life. See the package's description.
type State string

// The states.
const (
	Pending    State = "pending"
	Sending    State = "sending"
	Retrying   State = "retrying"
	Sent       State = "sent"
	Rejected   State = "rejected"
	Dead       State = "dead"
	Expired    State = "expired"
	Discarded  State = "discarded"
	Unrendered State = "unrendered"
)

// States are all states, in the order of an entry's life.
var States = []State{Unrendered, Pending, Sending, Retrying, Sent, Rejected, Dead, Expired, Discarded}

// Valid tells whether it is one of States.
func (s State) Valid() bool { return slices.Contains(States, s) }

// final are the states that an entry doesn't leave by itself, as River knows them. River forgets the
// unique key of what is cancelled or discarded: a key is free again where no mail went out.
var final = map[State]rivertype.JobState{
	Sent:      rivertype.JobStateCompleted,
	Rejected:  rivertype.JobStateCancelled,
	Expired:   rivertype.JobStateCancelled,
	Discarded: rivertype.JobStateCancelled,
	Dead:      rivertype.JobStateDiscarded,
}

// New is an entry to be accepted.
type New struct {
	// Key is the idempotency key, scoped by the caller.
	Key string
	// Remember is how long an equal Key is the same entry. 0 is as long as the entry is there.
	Remember time.Duration
	// Ordered tells that the entry says how things are with its recipients, two at most, so that Order is of use. An equal Key that is
	// remembered for a while is then the same entry only as long as none came after it that shares a recipient: else it is said anew.
	Ordered bool
	// Sender is the account's name, a domain. Entries of a sender that isn't known here wait.
	Sender string
	// Hook and Template say where the entry comes from, and Handler by whom it was made.
	Hook, Template, Handler string
	// Recipients are addresses. They are kept as keyed hashes, to be searched for.
	Recipients []string
	// Content is what the Deliverer delivers.
	Content []byte
	// Private content is wiped at every final state, whatever the settings.
	Private bool
	// Expires is when the entry is of no more use, or zero.
	Expires time.Time
	// Unrendered says why Content is not yet what is to be delivered, but what it is to be made from.
	Unrendered string
	// Trace ties the entry to the request that it came with.
	Trace string
	// Claim is for an entry that its caller delivers itself: within this time, Settle says what became of it.
	// After that nobody knows, and the entry is dead. Meanwhile it holds its key. 0 is for all others.
	Claim time.Duration
}

// Entry is an entry as it is now.
type Entry struct {
	ID       string    `json:"id"`
	State    State     `json:"state"`
	Sender   string    `json:"sender"`
	Hook     string    `json:"hook"`
	Template string    `json:"template"`
	Accepted time.Time `json:"accepted"`
	// Due is when it is tried next, where it waits for that.
	Due time.Time `json:"due,omitzero"`
	// Ended is when it got into its final state.
	Ended    time.Time `json:"ended,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Attempts []Attempt `json:"attempts,omitempty"`
	// Reason says why it is in this state.
	Reason string `json:"reason,omitempty"`
	// Outcome is what the Deliverer said of the delivery.
	Outcome json.RawMessage `json:"outcome,omitempty"`
	Trace   string          `json:"trace,omitempty"`
	Private bool            `json:"private,omitempty"`
	// Uncertain tells that an attempt's end isn't known.
	Uncertain bool `json:"uncertain,omitempty"`
	// Recipients are hashes of the addresses.
	Recipients []string `json:"recipients,omitempty"`
	// Events are what was heard of the mail after it was sent, the oldest first.
	Events []MailEvent `json:"events,omitempty"`
	// Handler is what made it.
	Handler string `json:"-"`
	// Content is there only where it was asked for, and isn't wiped.
	Content []byte `json:"-"`
}

// Attempt is one try of an entry's delivery.
type Attempt struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason,omitempty"`
}

// maxAttempts is how many attempts are kept in an entry, the last ones.
const maxAttempts = 20

// args are a River job's arguments.
type args struct {
	Key string `json:"key" river:"unique"`
	// Content is sealed. It is nil where it was wiped.
	Content []byte `json:"content"`
}

// Kind is stable over all versions: River gives up jobs of a kind that it doesn't know.
func (args) Kind() string { return "entry" }

// meta is a River job's metadata. Times are Unix milliseconds, so that both databases compare them.
type meta struct {
	State    State  `json:"state,omitempty"`
	Sender   string `json:"sender"`
	Hook     string `json:"hook"`
	Template string `json:"template"`
	Handler  string `json:"handler,omitempty"`
	Trace    string `json:"trace,omitempty"`
	Private  bool   `json:"private,omitempty"`
	Expires  int64  `json:"expires,omitempty"`
	// KeyUntil is when the key is free again.
	KeyUntil int64 `json:"key_until,omitempty"`
	// Unrendered tells that the content is what is to be rendered.
	Unrendered bool   `json:"unrendered,omitempty"`
	Reason     string `json:"reason,omitempty"`
	// Tries counts the attempts that count.
	Tries    int             `json:"tries,omitempty"`
	Attempts []Attempt       `json:"attempts,omitempty"`
	Outcome  json.RawMessage `json:"outcome,omitempty"`
	Events   []MailEvent     `json:"events,omitempty"`
	// Retried is for how long the entry has been retried: the delays together, in milliseconds.
	Retried int64 `json:"retried,omitempty"`
	// Taken is when the account took the entry, and kept it back.
	Taken int64 `json:"taken,omitempty"`
	// Base is River's count of attempts before the present one, where all of them have ended.
	Base int `json:"base,omitempty"`
	// Waiting tells that a worker has the entry and sends nothing.
	Waiting   bool `json:"waiting,omitempty"`
	Uncertain bool `json:"uncertain,omitempty"`
	// Wiped tells that a dead entry's content was wiped when it expired.
	Wiped bool `json:"wiped,omitempty"`
	// Ordered tells that Order knows of the entry.
	Ordered bool `json:"ordered,omitempty"`
	// Revived tells that the operator had it tried again after it had ended, or couldn't be rendered.
	Revived bool `json:"revived,omitempty"`
	// Claimed tells that who put the entry delivers it.
	Claimed bool `json:"claimed,omitempty"`
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (m *meta) note(now time.Time, reason string) {
	m.Reason = reason
	m.Attempts = append(m.Attempts, Attempt{now.UTC().Truncate(time.Millisecond), reason})
	if surplus := len(m.Attempts) - maxAttempts; surplus > 0 {
		m.Attempts = m.Attempts[surplus:]
	}
}

// state tells the state of a row.
func (m *meta) state(row rivertype.JobState) State {
	switch row {
	case rivertype.JobStatePending:
		return Unrendered
	case rivertype.JobStateCompleted:
		return Sent
	case rivertype.JobStateDiscarded:
		return Dead
	case rivertype.JobStateCancelled:
		return m.State
	case rivertype.JobStateRunning:
		if !m.Waiting {
			return Sending
		}
	case rivertype.JobStateScheduled:
		if m.Claimed {
			return Sending
		}
	}
	if len(m.Attempts) == 0 && !m.Uncertain {
		return Pending
	}
	return Retrying
}
