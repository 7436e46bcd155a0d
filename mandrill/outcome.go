package mandrill

import (
	"encoding/json"
	"slices"
)

// Recipient is what Mandrill said of one recipient.
type Recipient struct {
	Email string `json:"email"`
	// Status is one of Statuses; new ones may appear.
	Status string `json:"status"`
	// ID is Mandrill's id of the message to this recipient. It may be missing where it was refused.
	ID string `json:"_id,omitempty"`
	// RejectReason is one of RejectReasons where Status is "rejected"; new ones may appear.
	RejectReason string `json:"reject_reason,omitempty"`
	// QueuedReason is why Status is "queued", or empty: Mandrill does not always give it.
	QueuedReason string `json:"queued_reason,omitempty"`
}

// Statuses are what Mandrill says of a recipient.
var Statuses = []string{"sent", "queued", "scheduled", "rejected", "invalid"}

// RejectReasons are why Mandrill rejects a recipient.
var RejectReasons = []string{
	"hard-bounce", "soft-bounce", "spam", "unsub", "custom", "invalid-sender", "invalid", "test-mode-limit", "unsigned",
	"rule",
}

// accountReasons are the reasons for queueing that lie with the account: Mandrill keeps the mail for 48
// hours, and sends it if the account is fixed by then.
var accountReasons = []string{
	"free-trial-sends-exhausted", "hourly-quota-exhausted", "monthly-limit-reached", "sending-paused", "sending-suspended",
	"account-suspended",
}

// Refusal says with whom the reason lies why a recipient was refused.
type Refusal string

// The refusals.
const (
	// NotRefused: Mandrill has accepted the message for the recipient.
	NotRefused Refusal = ""
	// OfRecipient: another message to the recipient would be refused too.
	OfRecipient Refusal = "recipient"
	// OfMessage: the operator must change the message or the account's rules. New statuses and reasons count as such,
	// so that no mail is lost.
	OfMessage Refusal = "message"
	// OfDomain: Mandrill does not send for the domain of from_email.
	OfDomain Refusal = "domain"
	// OfKey: the API key cannot send.
	OfKey Refusal = "key"
)

// refusals are those of Mandrill's reasons for rejecting a recipient.
var refusals = map[string]Refusal{
	"hard-bounce": OfRecipient, "soft-bounce": OfRecipient, "spam": OfRecipient, "unsub": OfRecipient,
	"custom": OfRecipient, "invalid": OfRecipient, "": OfRecipient,
	"invalid-sender": OfMessage, "rule": OfMessage,
	"unsigned": OfDomain, "test-mode-limit": OfKey,
}

// Refusal returns whose trouble it is that the recipient was refused.
func (r Recipient) Refusal() Refusal {
	switch r.Status {
	case "sent", "queued", "scheduled":
		return NotRefused
	case "invalid":
		return OfRecipient
	case "rejected":
		if refusal, known := refusals[r.RejectReason]; known {
			return refusal
		}
	}
	return OfMessage
}

// Taken reports whether Mandrill has the message for this recipient.
func (r Recipient) Taken() bool { return r.Refusal() == NotRefused }

// Held reports whether Mandrill has the message and keeps it back for a reason that lies with the account.
func (r Recipient) Held() bool {
	return r.Status == "queued" && slices.Contains(accountReasons, r.QueuedReason)
}

// Remedy says what the operator can do for a recipient that was refused, or is empty.
func (r Recipient) Remedy() string {
	switch r.RejectReason {
	case "unsigned":
		return "Mandrill doesn't send for the domain of from_email: verify the domain at Mandrill, " +
			"and set its two DKIM CNAME records and a DMARC record. " +
			"To see what is missing: caddy mailchimp check-domain <domain>"
	case "invalid-sender":
		return "Mandrill doesn't take the address of from_email"
	case "hard-bounce", "soft-bounce", "spam", "unsub", "custom":
		return "the address is on the account's rejection denylist, for this reason: see Mandrill's page of it"
	case "test-mode-limit":
		return "the API key is a test key, and its limit is reached"
	case "rule":
		return "a rule of the account rejects it"
	}
	return ""
}

// Info is what became of a message for one recipient.
type Info struct {
	ID string
	// State is sent, bounced, rejected, queued, scheduled, canceled or another.
	State string
	Email string
	// RejectReason is one of RejectReasons where State is "rejected"; new ones may appear.
	RejectReason string
	Metadata     map[string]any
}

// UnmarshalJSON tolerates what PHP makes of an empty object: an empty array.
func (i *Info) UnmarshalJSON(data []byte) error {
	var raw struct {
		ID       string          `json:"_id"`
		State    string          `json:"state"`
		Email    string          `json:"email"`
		Metadata json.RawMessage `json:"metadata"`
		Reject   json.RawMessage `json:"reject"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	var reject struct {
		Reason string `json:"reason"`
	}
	*i = Info{ID: raw.ID, State: raw.State, Email: raw.Email}
	if err := unmarshalObject(raw.Metadata, &i.Metadata); err != nil {
		return err
	}
	err := unmarshalObject(raw.Reject, &reject)
	i.RejectReason = reject.Reason
	return err
}
