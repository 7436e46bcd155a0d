package mandrill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Kind says what a caller can do about an Error.
type Kind string

// The kinds of errors.
const (
	// Refused: Mandrill won't take this message, ever.
	Refused Kind = "refused"
	// Account: the account can't send now, neither this message nor another.
	Account Kind = "account"
	// Retry: it may go well later. Mandrill doesn't have the message.
	Retry Kind = "retry"
	// Unknown: Mandrill may have taken the message.
	Unknown Kind = "unknown"
)

// Error says that a call failed.
type Error struct {
	Kind Kind
	// Name is Mandrill's name for it, such as Invalid_Key, or empty. New ones may appear.
	Name string
	// Code is Mandrill's number for it. It differs between versions of the API.
	Code int
	// Status is the HTTP status, or 0 where there was no answer.
	Status int
	// RetryAfter is how long Mandrill wants to be left alone, or 0.
	RetryAfter time.Duration
	// Detail is Mandrill's message. It may repeat addresses, and is not part of Error().
	Detail string
	// Err is the cause where there was no answer, or one that makes no sense.
	Err error
}

func (e *Error) Error() string {
	parts := []string{"calling Mandrill", string(e.Kind)}
	if e.Status != 0 {
		parts = append(parts, fmt.Sprintf("status %d", e.Status))
	}
	if e.Name != "" {
		parts = append(parts, e.Name)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// Named reports whether Mandrill itself has answered: another answer may come from a proxy or a firewall between, which
// judges by what is sent.
func (e *Error) Named() bool { return e.Name != "" }

// Remedy says what the operator can do about it, or is empty.
func (e *Error) Remedy() string {
	switch {
	case e.Name == "Invalid_Key":
		return "check api_key: Mandrill doesn't know it. It is a key of Mandrill (Mailchimp Transactional), not of Mailchimp"
	case e.Name == "PaymentRequired" && e.Kind == Refused:
		return "remove send_at: scheduling is only for accounts with a positive balance"
	case e.Name == "PaymentRequired":
		return "check the account's plan and payment at Mailchimp"
	case e.Name == "Unknown_Template":
		return "check template_name: it is the template's slug, not its name"
	case e.Name == "Unknown_Subaccount":
		return "check subaccount: it must be made at Mandrill first"
	case e.Status == http.StatusNotFound && e.Kind == Retry:
		return "check api_base: there is no Mandrill API"
	}
	return ""
}

// kinds sorts Mandrill's errors by name, which comes before the HTTP status: old servers answer
// 500 to all of them. Those that no call of this package gets are here too: the description says of
// few calls all that they may answer.
var kinds = map[string]Kind{
	"Invalid_Key":          Account,
	"PaymentRequired":      Account,
	"PoorReputation":       Account,
	"RequestLimitExceeded": Account,

	// Mandrill's words for the first one are that an unexpected error occurred: the message may be on its way.
	"GeneralError":       Unknown,
	"ServiceUnavailable": Retry,

	"ValidationError":                    Refused,
	"Unknown_Template":                   Refused,
	"Unknown_Subaccount":                 Refused,
	"Unknown_Message":                    Refused,
	"Unknown_Sender":                     Refused,
	"Unknown_Domain":                     Refused,
	"Unknown_Pool":                       Refused,
	"Unknown_IP":                         Refused,
	"Unknown_TrackingDomain":             Refused,
	"Unknown_MetadataField":              Refused,
	"Unknown_Webhook":                    Refused,
	"Unknown_Export":                     Refused,
	"Unknown_InboundDomain":              Refused,
	"Unknown_InboundRoute":               Refused,
	"Invalid_Template":                   Refused,
	"Invalid_Tag_Name":                   Refused,
	"Invalid_Reject":                     Refused,
	"Invalid_Version":                    Refused,
	"Invalid_CustomDNS":                  Refused,
	"Invalid_DeleteDefaultPool":          Refused,
	"Invalid_EmptyDefaultPool":           Refused,
	"Invalid_Verified_Domain":            Refused,
	"Invalid_Verified_TrackingDomain":    Refused,
	"MC_Exception_InvalidTrackingDomain": Refused,
}

// kindOf sorts an answer by the name of its error, which may be empty or new, and by its status.
func kindOf(name string, status int) Kind {
	if kind, known := kinds[name]; known {
		return kind
	}
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusTooManyRequests:
		return Account
	case http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return Refused
	case http.StatusNotFound, http.StatusRequestTimeout:
		// An api_base that leads elsewhere is fixed by the operator, not by dropping mail.
		return Retry
	}
	switch {
	case status < http.StatusMultipleChoices:
		return Unknown
	case status >= http.StatusInternalServerError:
		// No name of Mandrill's: this may be the word of a proxy, and Mandrill may have accepted the message.
		return Unknown
	case name != "" && status >= http.StatusBadRequest:
		return Refused
	}
	return Retry
}

// errorBody is what Mandrill answers instead of a result.
type errorBody struct {
	// Status is "error".
	Status  string          `json:"status"`
	Name    string          `json:"name"`
	Message string          `json:"message"`
	Code    json.RawMessage `json:"code"`
}

// readErrorBody reads as much of an error as there is: other bodies have no name.
func readErrorBody(data []byte) errorBody {
	var body errorBody
	_ = json.Unmarshal(data, &body) // what is no JSON, or has another type, has no name
	if !errorName.MatchString(body.Name) {
		body.Name = ""
	}
	return body
}

// errorName bounds what of a server's answer gets into an error's text.
var errorName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

func (b errorBody) sort(status int) *Error {
	code, _ := strconv.Atoi(string(b.Code))
	e := &Error{Kind: kindOf(b.Name, status), Name: b.Name, Code: code, Status: status, Detail: b.Message}
	if e.Kind == Unknown && e.Name == "" && status < http.StatusMultipleChoices {
		e.Err = mailchimp.ErrNonsense
	}
	return e
}

// answerError sorts an answer other than 200.
func answerError(answer *mailchimp.Answer) *Error {
	e := readErrorBody(answer.Body).sort(answer.Status)
	e.RetryAfter = answer.RetryAfter
	return e
}

// connectionError sorts a call that got no answer, or only a part of one.
func connectionError(err error) *Error {
	kind := Retry
	if mailchimp.MayHaveArrived(err) {
		kind = Unknown
	}
	return &Error{Kind: kind, Err: err}
}
