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

func validation(format string, args ...any) error {
	return &apiError{http.StatusUnprocessableEntity, "ValidationError", fmt.Sprintf(format, args...)}
}

func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, endpoint string) {
	failure := s.nextFailure()
	noted := &notingWriter{ResponseWriter: w}
	w = noted
	var body []byte
	defer func(begun time.Time) { s.called(begun, endpoint, body, noted) }(time.Now())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		respondError(w, http.StatusUnprocessableEntity, "ValidationError",
			"The request could not be read, or is larger than 25 MiB.")
		return
	}
	mailchimp.Interrupt(r.Context(), failure.delay, failure.Reset)
	if failure.Reset == "" && failure.answer(w) {
		return
	}
	answer, err := s.call(endpoint, body, failure)
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

func (s *Sandbox) call(endpoint string, body []byte, failure Failure) (any, error) {
	var arguments struct {
		Key    *string `json:"key"`
		ID     string  `json:"id"`
		Domain string  `json:"domain"`
		Query  string  `json:"query"`
		Limit  int     `json:"limit"`
	}
	if err := json.Unmarshal(body, &arguments); err != nil {
		return nil, validation("The request's body is not valid: %v", err)
	}
	switch {
	case arguments.Key == nil:
		return nil, validation("You must specify a key value")
	case *arguments.Key == "" || strings.HasPrefix(*arguments.Key, "invalid"):
		return nil, &apiError{http.StatusUnauthorized, "Invalid_Key", "Invalid API key"}
	}
	switch endpoint {
	case "messages/send", "messages/send-template":
		return s.send(endpoint, body, failure)
	case "messages/info":
		return s.info(arguments.ID)
	case "messages/content":
		return s.content(arguments.ID)
	case "messages/search":
		return s.search(arguments.Query, arguments.Limit), nil
	case "users/ping2":
		return map[string]string{"PING": "PONG!"}, nil
	case "senders/check-domain":
		if arguments.Domain == "" {
			return nil, validation("Validation error: {\"domain\":\"You must specify a domain\"}")
		}
		s.addDomain(arguments.Domain)
		return domainState(arguments.Domain), nil
	case "senders/domains":
		return s.domainStates(), nil
	}
	return nil, &apiError{http.StatusNotFound, "Unknown_Method", "The sandbox has no " + endpoint}
}
