package admin

import (
	"encoding/json"
	"reflect"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// Conditions pick entries, in a query and in a body. An entry must meet all of them.
type Conditions struct {
	// State is one state or several, in upper or lower case.
	State States `json:"state,omitempty"`
	// Event is the last event that Mandrill reported of the mail, such as hard_bounce.
	Event    string `json:"event,omitempty"`
	Sender   string `json:"sender,omitempty"`
	Template string `json:"template,omitempty"`
	// Recipient is an address, which is allowed only in bodies, or its hash as an entry shows it.
	Recipient string `json:"recipient,omitempty"`
	// Reason is a part of the reason.
	Reason string `json:"reason,omitempty"`
	// Since and Until are times of acceptance such as 2006-01-02T15:04:05Z.
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	// All must be set to pick all entries, if that can do harm.
	All bool `json:"all,omitempty"`
	// Before is the entry that a page begins after. Limit is the size of the page, 1000 at most. Default: DefaultLimit.
	Before string `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// Empty reports whether there is no condition.
func (c Conditions) Empty() bool { return reflect.ValueOf(c).IsZero() }

// States are states that an entry may be in. In JSON, they are a text or a list of texts.
type States []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *States) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*s = States{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// RetryMany picks the entries that are to be retried.
type RetryMany struct {
	Conditions
	RetryOne
	// Follow has the answer wait a few seconds for what becomes of them, and tell it in its last line.
	Follow bool `json:"follow,omitempty"`
}

// RetryOne says how an entry is retried.
type RetryOne struct {
	// Again retries what is sent or uncertain too.
	Again bool `json:"again,omitempty"`
}

// Template names a template as the configuration does, or by its file's name.
type Template struct {
	Template string `json:"template"`
}

// DefaultLimit is how many entries a page has unless the call says otherwise.
const DefaultLimit = 100

// Entry is an entry, with its content if the call asks for it.
type Entry struct {
	outbox.Entry
	Content json.RawMessage `json:"content,omitempty"`
}

// Changed is the last line of the answer to a change of many entries.
type Changed struct {
	outbox.Progress
	Finished bool   `json:"finished"`
	Error    string `json:"error,omitempty"`
	// States are the numbers of retried entries by the states that they are in after a few seconds.
	States map[outbox.State]int `json:"states,omitempty"`
}

// Recipient names a recipient by address.
type Recipient struct {
	Recipient string `json:"recipient"`
}

// Backup names the file that the outbox is copied to.
type Backup struct {
	File string `json:"file"`
}

// Forgotten answers how many entries were erased.
type Forgotten struct {
	Forgotten int `json:"forgotten"`
}

// Status says whether mails and changes of audiences are being delivered.
type Status struct {
	// Flows is set if hooks are stored, and mails and changes of audiences are sent. Troubles say why not, and which
	// changed secrets are not in force.
	Flows    bool     `json:"flows"`
	Troubles []string `json:"troubles"`
	// Attention lists what waits for the operator while mail flows.
	Attention []string `json:"attention"`
	// Outbox is sqlite, postgres or off.
	Outbox string `json:"outbox"`
	outbox.Status
	// Senders are the sender domains and the lists of the configuration.
	Senders []string `json:"senders"`
	// Keys are the last characters of the API key in use, by sender. A short key shows nothing.
	Keys map[string]string `json:"keys"`
	// Unindexed are the sender domains whose account cannot search for entries.
	Unindexed []string `json:"unindexed"`
	// Stopped are the senders that Troubles are about.
	Stopped   []string                     `json:"stopped"`
	LastError *caddymodule.OutboxError     `json:"last_error,omitempty"`
	Templates []caddymodule.TemplateStatus `json:"templates"`
	// Hooks say when each hook was last called.
	Hooks []caddymodule.HookStatus `json:"hooks"`
	// Events are what Mandrill's webhook has told, if the configuration has a mailchimp_events.
	Events *caddymodule.EventsStatus `json:"events,omitempty"`
}

// TestMail asks for a test mail.
type TestMail struct {
	To string `json:"to"`
	// From is the sender. Default: that of a hook, else test@ the first sender domain.
	From string `json:"from,omitempty"`
}

// TestResult is what Mandrill said of a test mail.
type TestResult struct {
	Sent   bool   `json:"sent"`
	From   string `json:"from"`
	Status string `json:"status"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Remedy says what to do.
	Remedy string `json:"remedy,omitempty"`
	// Key is the end of the API key in use. A short key shows nothing.
	Key string `json:"key,omitempty"`
}
