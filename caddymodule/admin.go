package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI shows and changes the outbox of the running configuration, on Caddy's admin endpoint:
//
//	GET  /mailchimp/status                 counts, ages and held senders
//	GET  /mailchimp/outbox                 a page of entries; state, sender, template, since, until, before, limit
//	GET  /mailchimp/outbox/<id>            one entry
//	POST /mailchimp/outbox/<id>/retry      tries an entry again
//	POST /mailchimp/outbox/<id>/discard    takes an entry out
//	POST /mailchimp/outbox/search          entries of a recipient: {"recipient":"…"}
//	POST /mailchimp/outbox/forget          erases the entries of a recipient: {"recipient":"…"}
//
// Addresses stand in bodies, because URLs are logged.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.mailchimp",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

const adminPath = "/mailchimp/"

// Routes returns the routes.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(a.serve)}}
}

// liveOutbox is that of the newest configuration: routes outlive configurations.
func liveOutbox() (*outbox.Outbox, error) {
	running.Lock()
	defer running.Unlock()
	if n := len(running.apps); n > 0 && running.apps[n-1].outbox != nil {
		return running.apps[n-1].outbox, nil
	}
	return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no outbox is running")}
}

func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	box, err := liveOutbox()
	if err != nil {
		return err
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, adminPath), "/")
	answer, err := route(r, box, path)
	if err != nil {
		return apiError(err)
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func apiError(err error) error {
	var api caddy.APIError
	switch {
	case errors.As(err, &api):
		return api
	case errors.Is(err, outbox.ErrNotFound):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	case errors.Is(err, outbox.ErrUnavailable):
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	default:
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
}

func route(r *http.Request, box *outbox.Outbox, path []string) (any, error) {
	ctx := r.Context()
	call := r.Method + " " + path[0]
	switch {
	case call == "GET status" && len(path) == 1:
		return box.Status(ctx)
	case call == "GET outbox" && len(path) == 1:
		filter, err := filterOf(r)
		if err != nil {
			return nil, err
		}
		return page(box.List(ctx, filter))
	case call == "GET outbox" && len(path) == 2:
		return box.Get(ctx, path[1])
	case call == "POST outbox" && len(path) == 2:
		recipient, err := recipientOf(r)
		if err != nil {
			return nil, err
		}
		switch path[1] {
		case "search":
			return page(box.List(ctx, outbox.Filter{Recipient: recipient, Limit: 1000}))
		case "forget":
			n, err := box.Forget(ctx, recipient)
			return map[string]int{"forgotten": n}, err
		}
	case call == "POST outbox" && len(path) == 3:
		switch path[2] {
		case "retry":
			return nil, box.Retry(ctx, path[1])
		case "discard":
			return nil, box.Discard(ctx, path[1])
		}
	}
	return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("there is no %s %s", r.Method, r.URL.Path)}
}

// page makes an empty list of no entries.
func page(entries []outbox.Entry, err error) (any, error) {
	return append([]outbox.Entry{}, entries...), err
}

func recipientOf(r *http.Request) (string, error) {
	var body struct {
		Recipient string `json:"recipient"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&body); err != nil || body.Recipient == "" {
		return "", caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New(`the body must be {"recipient": "<address>"}`)}
	}
	return body.Recipient, nil
}

func filterOf(r *http.Request) (outbox.Filter, error) {
	bad := func(name, want string) error {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("%s must be %s", name, want)}
	}
	query := r.URL.Query()
	f := outbox.Filter{
		State: outbox.State(query.Get("state")), Sender: query.Get("sender"), Template: query.Get("template"), Before: query.Get("before"),
	}
	if limit := query.Get("limit"); limit != "" {
		var err error
		if f.Limit, err = strconv.Atoi(limit); err != nil || f.Limit < 1 || f.Limit > 1000 {
			return f, bad("limit", "a number from 1 to 1000")
		}
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if value := query.Get(name); value != "" {
			var err error
			if *to, err = time.Parse(time.RFC3339, value); err != nil {
				return f, bad(name, "a time such as 2006-01-02T15:04:05Z")
			}
		}
	}
	if f.State != "" && !f.State.Valid() {
		return f, bad("state", fmt.Sprintf("one of %v", outbox.States))
	}
	return f, nil
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
