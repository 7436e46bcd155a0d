package ory

import (
	"encoding/json"
	"net/http"
	"slices"
)

// An Error is an answer to Ory other than success. Its text may reach an end user's screen, so it
// says what happened and nothing of the operator's side.
type Error struct {
	// Status is the HTTP status.
	Status int
	// ID is the message's number, which stays the same over all versions.
	ID int
	// Text is the message, in English.
	Text string

	header, value string
}

// pointerForm stands for a form as a whole.
const pointerForm = "#/"

// The errors, each with its own number. Ory's own messages begin with 1, 4 and 5.
var (
	ErrNotJSON     = formError(http.StatusBadRequest, 9400001, "The request's body is not valid JSON.")
	ErrNotObject   = formError(http.StatusBadRequest, 9400002, "The request's body is not a JSON object.")
	ErrTooDeep     = formError(http.StatusBadRequest, 9400003, "The request's body is nested too deeply.")
	ErrUnreadable  = formError(http.StatusBadRequest, 9400004, "The request's body could not be read.")
	ErrCredentials = formError(http.StatusUnauthorized, 9401001, "The request has no valid credentials.")
	ErrMethod      = &Error{
		Status: http.StatusMethodNotAllowed, ID: 9405001, Text: "Only POST is allowed here.",
		header: "Allow", value: http.MethodPost,
	}
	ErrTooLarge    = formError(http.StatusRequestEntityTooLarge, 9413001, "The request's body is too large.")
	ErrContentType = formError(http.StatusUnsupportedMediaType, 9415001,
		"The request's content type must be application/json.")
	ErrTemplate  = formError(http.StatusUnprocessableEntity, 9422001, "The e-mail could not be written.")
	ErrMessage   = formError(http.StatusUnprocessableEntity, 9422002, "The e-mail is not valid.")
	ErrRecipient = formError(http.StatusUnprocessableEntity, 9422003,
		"This address can't receive our e-mail. Please check it or use another one.")
	ErrRefused = formError(http.StatusUnprocessableEntity, 9422004, "The e-mail was refused.")
	ErrStore   = formError(http.StatusServiceUnavailable, 9503001,
		"The e-mail can't be taken on right now. Please try again later.")
	ErrUnavailable = formError(http.StatusServiceUnavailable, 9503002,
		"The e-mail can't be sent right now. Please try again later.")
	// ErrEmpty: Ory's own Jsonnet failed to make the body. Ory calls again.
	ErrEmpty = formError(http.StatusServiceUnavailable, 9503003,
		"The e-mail can't be written right now. Please try again later.")
	ErrBusy = formError(http.StatusServiceUnavailable, 9503004,
		"There are too many requests right now. Please try again later.")

	errCredentialsBasic = &Error{
		Status: ErrCredentials.Status, ID: ErrCredentials.ID, Text: ErrCredentials.Text,
		header: "WWW-Authenticate", value: `Basic realm="hook", charset="UTF-8"`,
	}
)

// formError returns an error without headers.
func formError(status, id int, text string) *Error {
	return &Error{Status: status, ID: id, Text: text}
}

// Errors returns all errors in the order of their numbers.
func Errors() []*Error {
	return []*Error{
		ErrNotJSON, ErrNotObject, ErrTooDeep, ErrUnreadable, ErrCredentials, ErrMethod, ErrTooLarge, ErrContentType,
		ErrTemplate, ErrMessage, ErrRecipient, ErrRefused, ErrStore, ErrUnavailable, ErrEmpty,
		ErrBusy,
	}
}

func (e *Error) Error() string { return e.Text }

// The error form, as Ory describes it at
// https://www.ory.com/docs/guides/integrate-with-ory-cloud-through-webhooks#flow-interrupting-webhooks.
type (
	form struct {
		Messages []fieldMessages `json:"messages"`
	}
	fieldMessages struct {
		Pointer  string    `json:"instance_ptr"`
		Messages []message `json:"messages"`
	}
	message struct {
		ID      int               `json:"id"`
		Text    string            `json:"text"`
		Type    string            `json:"type"`
		Context map[string]string `json:"context"`
	}
)

// Respond answers with the error in Ory's form: for the form as a whole, and for the fields that the pointers name.
// A field alone would not do, because Ory's default form hides the traits in its second step. The reference stands in
// the message's context, so that whoever sees it can be helped from the log.
func (e *Error) Respond(w http.ResponseWriter, reference string, fields ...string) error {
	messages := []message{{
		ID: e.ID, Text: e.Text, Type: "error", Context: map[string]string{"reference": reference},
	}}
	var answer form
	for _, pointer := range slices.Concat(fields, []string{pointerForm}) {
		answer.Messages = append(answer.Messages, fieldMessages{pointer, messages})
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if e.header != "" {
		h.Set(e.header, e.value)
	}
	w.WriteHeader(e.Status)
	_, err = w.Write(body)
	return err
}
