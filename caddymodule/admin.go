package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI shows and changes what the running configuration has, on Caddy's admin endpoint. docs/operations.md
// describes it.
//
// Addresses stand in bodies, because URLs are logged.
type adminAPI struct{ mux *http.ServeMux }

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mailchimp",
		New: func() caddy.Module { return newAdminAPI() },
	}
}

const adminPath = "/mailchimp/"

// adminHandler answers a call, or returns an error for Caddy to answer.
type adminHandler func(w http.ResponseWriter, r *http.Request) error

func newAdminAPI() *adminAPI {
	a := &adminAPI{mux: http.NewServeMux()}
	for pattern, handler := range map[string]adminHandler{
		"GET status":                   answerJSON(showStatus),
		"GET ready":                    answerJSON(showReady),
		"GET outbox":                   listEntries,
		"GET outbox/{id}":              answerJSON(showEntry),
		"POST outbox/{id}/retry":       answerJSON(retryEntry),
		"POST outbox/{id}/discard":     answerJSON(discardEntry),
		"POST outbox/search":           listEntries,
		"POST outbox/retry":            changeEntries((*outbox.Outbox).RetryAll),
		"POST outbox/discard":          changeEntries((*outbox.Outbox).DiscardAll),
		"POST outbox/forget":           answerJSON(forgetRecipient),
		"POST senders/{sender}/pause":  answerJSON(pauseSender((*outbox.Outbox).Pause)),
		"POST senders/{sender}/resume": answerJSON(pauseSender((*outbox.Outbox).Resume)),
		"POST send-test":               answerJSON(sendTest),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		a.mux.Handle(method+" "+adminPath+path, handler)
	}
	return a
}

// errorKey is where a handler leaves its error for serve.
type errorKey struct{}

// ServeHTTP makes it a handler of the mux.
func (h adminHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	*r.Context().Value(errorKey{}).(*error) = h(w, r)
}

// answerJSON answers with what the function returns: JSON, or 204 where it is nil.
func answerJSON(get func(r *http.Request) (any, error)) adminHandler {
	return func(w http.ResponseWriter, r *http.Request) error {
		answer, err := get(r)
		if err != nil {
			return err
		}
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(answer)
	}
}

// Routes returns the routes.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(a.serve)}}
}

func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	if _, pattern := a.mux.Handler(r); pattern == "" {
		return a.unknown(w, r)
	}
	var err error
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), errorKey{}, &err)))
	return apiError(err)
}

// unknown says that there is no such path, or which methods it takes.
func (a *adminAPI) unknown(w http.ResponseWriter, r *http.Request) error {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "" {
			methods = append(methods, method)
		}
	}
	if len(methods) == 0 {
		return problem(http.StatusNotFound, "there is no %s", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return problem(http.StatusMethodNotAllowed, "%s takes %s, not %s", r.URL.Path, strings.Join(methods, " and "), r.Method)
}

// problem is an error as Caddy answers it.
func problem(status int, format string, arguments ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, arguments...)}
}

func apiError(err error) error {
	var api caddy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api):
		return api
	case errors.Is(err, outbox.ErrNotFound):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	case errors.Is(err, outbox.ErrState):
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: err}
	case errors.Is(err, outbox.ErrUnavailable):
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	default:
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
}

func mustLiveApp() (*App, error) {
	if app := Running(); app != nil {
		return app, nil
	}
	return nil, problem(http.StatusNotFound, "the running configuration has no mailchimp")
}

func liveOutbox() (*outbox.Outbox, error) {
	if app := Running(); app != nil && app.OpenOutbox() != nil {
		return app.OpenOutbox(), nil
	}
	return nil, problem(http.StatusNotFound, "no outbox is running")
}

// readJSON reads a call's body. What it doesn't know is an error: a misspelt condition would pick too much.
func readJSON(r *http.Request, to any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return problem(http.StatusBadRequest, "reading the body: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problem(http.StatusBadRequest, "there is something after the body's object")
	}
	return nil
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
