package audience

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Kind says what a caller can do about an Error.
type Kind string

// The kinds of errors.
const (
	// Rejected: Mailchimp won't take this person, ever. Others it would.
	Rejected Kind = "rejected"
	// Refused: Mailchimp won't take this change as it is, ever.
	Refused Kind = "refused"
	// Account: the account can't change this audience now, for this person or another.
	Account Kind = "account"
	// Retry: it may go well later.
	Retry Kind = "retry"
	// Unknown: Mailchimp may have made the change. To repeat it does no harm.
	Unknown Kind = "unknown"
)

// Error says that a call failed.
type Error struct {
	Kind Kind
	// Title is Mailchimp's name for it, such as Member In Compliance State, or empty. New ones may appear.
	Title string
	// Status is the HTTP status, or 0 where there was no answer.
	Status int
	// Fields are those that Mailchimp finds wrong, as far as they are words of the API or merge tags.
	Fields []string
	// RetryAfter is how long Mailchimp wants to be left alone, or 0.
	RetryAfter time.Duration
	// Detail is Mailchimp's message. It may repeat addresses and values, and is not part of Error().
	Detail string
	// Err is the cause where there was no answer, or one that makes no sense.
	Err error
}

func (e *Error) Error() string {
	parts := []string{"calling Mailchimp", string(e.Kind)}
	if e.Status != 0 {
		parts = append(parts, fmt.Sprintf("status %d", e.Status))
	}
	if e.Title != "" {
		parts = append(parts, e.Title)
	}
	if len(e.Fields) > 0 {
		parts = append(parts, strings.Join(e.Fields, ", "))
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// Remedy says what the operator can do about it, or is empty.
func (e *Error) Remedy() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "check api_key: Mailchimp doesn't know it. It is a key of Mailchimp, not of Mandrill (Mailchimp Transactional)"
	case e.Status == http.StatusNotFound && e.Title == "":
		return "check api_base: there is no Mailchimp API"
	case e.Status == http.StatusNotFound:
		return "check list: the account has no such audience. The id is in the audience's settings"
	case e.Title == complianceState:
		return "the address unsubscribed or bounced: only the person can subscribe it again, by a form of Mailchimp's"
	case e.Title == forgotten:
		return "the address was deleted for good: only the person can subscribe it again, by a form of Mailchimp's"
	case e.Kind == Rejected && e.Title != memberExists:
		return "Mailchimp takes the address for a fake or a misuse: it can't be subscribed"
	case e.Kind == Refused && slices.Equal(e.Fields, []string{"email_address"}):
		return "Mailchimp does not take the address"
	case e.Kind == Refused && len(e.Fields) > 0:
		return "compare the template with the audience's fields"
	}
	return ""
}

// The titles of what is final for a person.
const (
	complianceState = "Member In Compliance State"
	forgotten       = "Forgotten Email Not Subscribed"
	memberExists    = "Member Exists"
)

// These are parts of details about an address: fake ones are never accepted, busy ones may be accepted later. Their
// title is Invalid Resource, which faults of a template have too.
var (
	fake = []string{
		"looks fake or invalid", "provide a valid email address", "portion of the email address is invalid",
	}
	busy = []string{"has signed up to a lot of lists", "too many recent signup requests"}
)

// problem is what Mailchimp answers instead of a result.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

// These bound what of a server's answer gets into an error's text. A field may be a path, such as merge_fields.FNAME or
// interests.3c5d6f.
var (
	errorTitle = regexp.MustCompile(`^[A-Za-z][A-Za-z ]{0,63}$`)
	mergeTag   = regexp.MustCompile(`^[A-Z0-9_]{1,10}$`)
	fieldPath  = regexp.MustCompile(`^([a-z_]{1,40})(\.[A-Za-z0-9_-]{1,40}){0,3}$`)
)

// isField reports whether a text is a field of a change or a merge tag.
func isField(text string) bool {
	path := fieldPath.FindStringSubmatch(text)
	return mergeTag.MatchString(text) || path != nil && slices.Contains(fields, path[1])
}

// answerError sorts an answer other than success.
func answerError(answer *mailchimp.Answer) *Error {
	var p problem
	_ = json.Unmarshal(answer.Body, &p) // a proxy answers in HTML
	status := answer.Status
	e := &Error{Title: p.Title, Status: status, Detail: p.Detail, RetryAfter: answer.RetryAfter}
	if !errorTitle.MatchString(e.Title) {
		e.Title = ""
	}
	for _, wrong := range p.Errors {
		e.Detail += "; " + wrong.Field + ": " + wrong.Message
		if isField(wrong.Field) {
			e.Fields = append(e.Fields, wrong.Field)
		}
	}
	e.Detail = strings.TrimPrefix(e.Detail, "; ")
	e.Kind = e.sort()
	return e
}

func (e *Error) sort() Kind {
	switch e.Title {
	case complianceState, forgotten, memberExists:
		return Rejected
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusTooManyRequests:
		return Account
	case http.StatusNotFound:
		if e.Title != "" {
			return Account
		}
		// An api_base that leads elsewhere is fixed by the operator, not by dropping changes.
		return Retry
	case http.StatusRequestTimeout:
		return Retry
	case http.StatusGatewayTimeout:
		return Unknown
	case http.StatusRequestEntityTooLarge:
		return Refused
	}
	isInDetail := func(part string) bool { return strings.Contains(e.Detail, part) }
	switch {
	case slices.ContainsFunc(fake, isInDetail):
		return Rejected
	case slices.ContainsFunc(busy, isInDetail):
		return Retry
	case e.Title != "" && e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError:
		return Refused
	}
	return Retry
}

// connectionError sorts a call that got no answer, or only a part of one.
func connectionError(err error) *Error {
	kind := Retry
	if mailchimp.MayHaveArrived(err) {
		kind = Unknown
	}
	return &Error{Kind: kind, Err: err}
}
