package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// apiError is an answer other than success.
type apiError struct {
	status        int
	name, message string
}

func (e *apiError) Error() string { return e.message }

// invalidField is the answer to a call whose argument Mandrill doesn't accept. The field may be a path with dots.
func invalidField(field, text string) error {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string is always JSON
	}
	fields := strings.Split(field, ".")
	message := fmt.Sprintf("{%q:%s}", fields[len(fields)-1], encoded)
	for i := len(fields) - 2; i >= 0; i-- {
		message = fmt.Sprintf("{%q:%s}", fields[i], message)
	}
	return validation("Validation error: %s", message)
}

func validation(format string, args ...any) error {
	return &apiError{http.StatusUnprocessableEntity, "ValidationError", fmt.Sprintf(format, args...)}
}

func unknown(name, format string, args ...any) error {
	return &apiError{0, name, fmt.Sprintf(format, args...)}
}

// call is one call of the API.
type call struct {
	endpoint string
	body     []byte
	failure  Failure
}

// endpoints are the calls that the sandbox knows.
var endpoints = map[string]func(*Sandbox, call) (any, error){
	"messages/send":             (*Sandbox).send,
	"messages/send-template":    (*Sandbox).send,
	"messages/send-mc-template": (*Sandbox).send,
	"messages/info":             with((*Sandbox).info),
	"messages/content":          with((*Sandbox).content),
	"messages/list-scheduled":   with((*Sandbox).listScheduled),
	"messages/search":           (*Sandbox).search,
	"users/ping":                with((*Sandbox).ping),
	"users/ping2":               with((*Sandbox).ping2),
	"users/info":                with((*Sandbox).userInfo),
	"senders/list":              with((*Sandbox).listSenders),
	"senders/domains":           with((*Sandbox).listDomains),
	"senders/add-domain":        with((*Sandbox).addDomain),
	"senders/check-domain":      with((*Sandbox).addDomain),
	"senders/verify-domain":     with((*Sandbox).verifyDomain),
	"metadata/list":             with((*Sandbox).listMetadata),
	"metadata/add":              with((*Sandbox).addMetadata),
	"metadata/update":           with((*Sandbox).updateMetadata),
	"metadata/delete":           with((*Sandbox).deleteMetadata),
	"webhooks/list":             with((*Sandbox).listWebhooks),
	"webhooks/add":              with((*Sandbox).addWebhook),
	"webhooks/info":             with((*Sandbox).webhookInfo),
	"webhooks/update":           with((*Sandbox).updateWebhook),
	"webhooks/delete":           with((*Sandbox).deleteWebhook),
	"subaccounts/list":          with((*Sandbox).listSubaccounts),
	"subaccounts/add":           with((*Sandbox).addSubaccount),
	"subaccounts/info":          with((*Sandbox).subaccountInfo),
	"subaccounts/update":        with((*Sandbox).updateSubaccount),
	"subaccounts/delete":        with((*Sandbox).deleteSubaccount),
	"subaccounts/pause":         with((*Sandbox).pauseSubaccount),
	"subaccounts/resume":        with((*Sandbox).resumeSubaccount),
}

// none are the arguments of a call that has none but the key.
type none struct{}

// with decodes the arguments of a call.
func with[A any](do func(*Sandbox, A) (any, error)) func(*Sandbox, call) (any, error) {
	return func(s *Sandbox, c call) (any, error) {
		var arguments A
		if err := decode(c.body, &arguments); err != nil {
			return nil, err
		}
		return do(s, arguments)
	}
}

// decode reads the arguments of a call. Its error says which one has the wrong type.
func decode(body []byte, arguments any) error {
	err := json.Unmarshal(body, arguments)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return invalidField(wrongType.Field, "Please enter "+wanted(wrongType))
	}
	if err != nil {
		return validation("The request's body is not valid: %v", err)
	}
	return nil
}

func wanted(err *json.UnmarshalTypeError) string {
	switch err.Type.Kind().String() {
	case "map", "struct":
		return "an object"
	case "slice":
		return "an array"
	case "bool":
		return "a boolean"
	case "int", "float64":
		return "a number"
	}
	return "a string"
}

func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, endpoint string) {
	noted := &notingWriter{ResponseWriter: w}
	w = noted
	var body []byte
	defer func(begun time.Time) { s.called(begun, endpoint, body, noted) }(time.Now())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	failure := s.nextFailure(endpoint, body)
	if err != nil {
		respondError(w, http.StatusUnprocessableEntity, "ValidationError",
			"The request could not be read, or is larger than 25 MiB.")
		return
	}
	mailchimp.Interrupt(r.Context(), failure.delay, failure.Reset)
	if failure.Reset == "" && failure.answer(w) {
		return
	}
	answer, err := s.call(call{endpoint, body, failure})
	if failure.Reset == "after" {
		mailchimp.CloseConnection()
	}
	var refusal *apiError
	if errors.As(err, &refusal) {
		respondError(w, refusal.status, refusal.name, refusal.message)
		return
	}
	respond(w, http.StatusOK, answer)
}

func (s *Sandbox) call(c call) (any, error) {
	var arguments struct {
		Key *string `json:"key"`
	}
	if err := decode(c.body, &arguments); err != nil {
		return nil, err
	}
	switch {
	case arguments.Key == nil:
		return nil, validation("You must specify a key value")
	case *arguments.Key == "" || strings.HasPrefix(*arguments.Key, "invalid"):
		return nil, &apiError{http.StatusUnauthorized, "Invalid_Key", "Invalid API key"}
	}
	do, known := endpoints[c.endpoint]
	if !known {
		return nil, &apiError{http.StatusNotFound, "Unknown_Method", "The sandbox has no " + c.endpoint}
	}
	return do(s, c)
}
