package mandrill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
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
	// Name is Mandrill's name for it, such as Invalid_Key, or empty.
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
	var parts []string
	if e.Status != 0 {
		parts = append(parts, fmt.Sprintf("status %d", e.Status))
	}
	if e.Name != "" {
		parts = append(parts, e.Name)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return "calling Mandrill: " + strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// Remedy says what the operator can do about it, or is empty.
func (e *Error) Remedy() string {
	switch {
	case e.Name == "Invalid_Key":
		return "check api_key: Mandrill doesn't know it. It is a key of Mandrill (Mailchimp Transactional), not of Mailchimp"
	case e.Name == "PaymentRequired":
		return "check the account's payment at Mailchimp"
	case e.Name == "Unknown_Template":
		return "check template_name: it is the template's slug, not its name"
	case e.Name == "Unknown_Subaccount":
		return "check subaccount: it must be made at Mandrill first"
	case e.Status == http.StatusNotFound && e.Name == "":
		return "check api_base: there is no Mandrill API"
	}
	return ""
}

// kinds sorts Mandrill's errors by name, which comes before the HTTP status: old servers answer
// 500 to all of them.
var kinds = map[string]Kind{
	"Invalid_Key":          Account,
	"PaymentRequired":      Account,
	"RequestLimitExceeded": Account,
	"ValidationError":      Refused,
	"Unknown_Template":     Refused,
	"Unknown_Subaccount":   Refused,
	"Unknown_Message":      Refused,
	"Unknown_Sender":       Refused,
	"Invalid_Template":     Refused,
	"GeneralError":         Retry,
	"ServiceUnavailable":   Retry,
}

// kindOfStatus sorts answers that have no name that is known.
func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusTooManyRequests:
		return Account
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return Refused
	case http.StatusGatewayTimeout:
		return Unknown
	default:
		// 404 and redirects are an api_base that leads elsewhere: mended by the operator, not by dropping mail.
		return Retry
	}
}

// namedError reads Mandrill's error body, and returns nil where it is none.
func namedError(data []byte) *Error {
	var body struct {
		Name    string      `json:"name"`
		Message string      `json:"message"`
		Code    json.Number `json:"code"`
	}
	_ = json.Unmarshal(data, &body) // what is no JSON has no name
	if body.Name == "" {
		return nil
	}
	code, _ := strconv.Atoi(body.Code.String())
	return &Error{Kind: kinds[body.Name], Name: shortName(body.Name), Code: code, Detail: body.Message}
}

// answerError sorts an answer other than 200.
func answerError(response *http.Response, data []byte) *Error {
	e := namedError(data)
	if e == nil {
		e = &Error{}
	}
	e.Status = response.StatusCode
	if e.Kind == "" {
		e.Kind = kindOfStatus(e.Status)
	}
	e.RetryAfter = retryAfter(response.Header.Get("Retry-After"), time.Now())
	return e
}

// shortName bounds a name that comes from outside.
func shortName(name string) string {
	const longest = 64
	return strings.ToValidUTF8(name[:min(len(name), longest)], "")
}

// retryAfter reads a header's seconds or date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<31)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil && date.After(now) {
		return date.Sub(now)
	}
	return 0
}
