// Package admin serves the admin API of the app mailchimp on Caddy's admin endpoint: the state of the outbox, its
// entries, and what an operator can do about them. docs/operations.md describes it.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func init() {
	caddy.RegisterModule(API{})
}

// API shows and changes what the running configuration has, on Caddy's admin endpoint. Addresses are in bodies and not
// in URLs, because URLs are logged.
type API struct{}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mailchimp",
		New: func() caddy.Module { return new(API) },
	}
}

// Path is what the path of each call begins with.
const Path = "/mailchimp/"

// route is a call of the API. Its path may have segments such as {id}, which match one that is not empty.
type route struct {
	method, path string
	handle       func(w http.ResponseWriter, r *http.Request) error
}

var routes = []route{
	{http.MethodGet, "status", showStatus},
	{http.MethodGet, "ready", showReady},
	{http.MethodGet, "outbox", listEntries},
	{http.MethodPost, "outbox/search", listEntries},
	{http.MethodPost, "outbox/retry", retryEntries},
	{http.MethodPost, "outbox/discard", discardEntries},
	{http.MethodPost, "outbox/forget", forgetRecipient},
	{http.MethodPost, "outbox/backup", backUp},
	{http.MethodGet, "outbox/{id}", showEntry},
	{http.MethodPost, "outbox/{id}/retry", retryEntry},
	{http.MethodPost, "outbox/{id}/discard", discardEntry},
	{http.MethodPost, "senders/{sender}/pause", pauseSender},
	{http.MethodPost, "senders/{sender}/resume", resumeSender},
	{http.MethodPost, "templates/pause", pauseTemplate},
	{http.MethodPost, "templates/resume", resumeTemplate},
	{http.MethodPost, "send-test", sendTest},
}

// Routes returns the routes.
func (a API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: Path, Handler: caddy.AdminHandlerFunc(a.serve)}}
}

func (API) serve(w http.ResponseWriter, r *http.Request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	for _, route := range routes {
		if !route.matches(r) {
			continue
		}
		if route.method == method {
			return apiError(route.handle(w, r))
		}
		allowed = append(allowed, route.method)
	}
	if len(allowed) == 0 {
		return problem(http.StatusNotFound, "there is no %s", r.URL.Path)
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return problem(http.StatusMethodNotAllowed, "%s takes %s, not %s",
		r.URL.Path, strings.Join(allowed, " and "), r.Method)
}

// matches reports whether the request has the route's path, and sets the request's path values if it has.
func (route route) matches(r *http.Request) bool {
	path, _ := strings.CutPrefix(r.URL.EscapedPath(), Path)
	segments, pattern := strings.Split(path, "/"), strings.Split(route.path, "/")
	if len(segments) != len(pattern) {
		return false
	}
	for i, want := range pattern {
		segment, err := url.PathUnescape(segments[i])
		name, isValue := strings.CutPrefix(want, "{")
		switch {
		case err != nil || segment == "" || !isValue && segment != want:
			return false
		case isValue:
			r.SetPathValue(strings.TrimSuffix(name, "}"), segment)
		}
	}
	return true
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// writeDone answers 204, unless there is an error.
func writeDone(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
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

// runningApp returns the app of the running configuration. Routes outlive configurations.
func runningApp() (*caddymodule.App, error) {
	if app := caddymodule.Running(); app != nil {
		return app, nil
	}
	return nil, problem(http.StatusNotFound, "the running configuration has no mailchimp")
}

// runningOutbox returns the running app with its outbox, which is not off.
func runningOutbox() (*caddymodule.App, *outbox.Outbox, error) {
	if app := caddymodule.Running(); app != nil && app.RunningOutbox() != nil {
		return app, app.RunningOutbox(), nil
	}
	return nil, nil, problem(http.StatusNotFound, "no outbox is running")
}

// readJSON reads a call's body. An unknown field is an error: a misspelt condition would pick too much.
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
var _ caddy.AdminRouter = API{}
