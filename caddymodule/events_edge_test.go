package caddymodule_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

func init() { caddy.RegisterModule(recorder{}) }

// recorder is a handler of Caddy's events that keeps them.
type recorder struct{}

func (recorder) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (recorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.recorder", New: func() caddy.Module { return new(recorder) }}
}

var recorded = struct {
	sync.Mutex
	events  []caddy.Event
	changed chan struct{}
	// held keeps the handler from returning, if it is not nil.
	held chan struct{}
}{changed: make(chan struct{})}

func (recorder) Handle(_ context.Context, e caddy.Event) error {
	recorded.Lock()
	recorded.events = append(recorded.events, e)
	close(recorded.changed)
	recorded.changed = make(chan struct{})
	held := recorded.held
	recorded.Unlock()
	if held != nil && strings.HasPrefix(e.Name(), "mailchimp.") {
		<-held
	}
	return nil
}

var _ caddyevents.Handler = recorder{}

// eventsEdge is an edge with a mailchimp_events, whose Caddy events are recorded.
type eventsEdge struct {
	*edgetest.Edge
	caddyfile string
}

const (
	webhookURL = "https://hooks.example.com/mandrill?account=1"
	webhookKey = "s3cret-webhook-key"
)

func newEventsEdge(t *testing.T) eventsEdge {
	t.Helper()
	recorded.Lock()
	recorded.events = nil
	recorded.Unlock()
	t.Setenv("WEBHOOK_KEY", webhookKey)
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	caddyfile := strings.Replace(e.Caddyfile(""), "\tmetrics /metrics\n",
		"\tmetrics /metrics\n\tmailchimp_events /mandrill {\n\t\turl "+webhookURL+
			"\n\t\tkey old-key {env.WEBHOOK_KEY}\n\t}\n", 1)
	edge := eventsEdge{e, strings.Replace(caddyfile, "{\n", "{\n\tevents {\n\t\ton \"\" recorder\n\t}\n", 1)}
	edge.load("")
	return edge
}

// load loads the configuration, with lines in the block of mailchimp.
func (e eventsEdge) load(lines string) {
	e.T.Helper()
	if err := e.Load(strings.Replace(e.caddyfile, "mailchimp {\n", "mailchimp {\n"+lines+"\n", 1)); err != nil {
		e.T.Fatal(err)
	}
}

// waitEvent returns the data of the first event with the name since the edge began.
func (e eventsEdge) waitEvent(name string) map[string]any {
	e.T.Helper()
	for deadline := time.After(time.Minute); ; {
		recorded.Lock()
		events, changed := recorded.events, recorded.changed
		recorded.Unlock()
		for _, event := range events {
			if event.Name() == name {
				return event.Data
			}
		}
		select {
		case <-changed:
		case <-deadline:
			e.T.Fatalf("there was no event %s", name)
		}
	}
}

// postEvents calls mailchimp_events as Mandrill does.
func (e eventsEdge) postEvents(key, events string) edgetest.Answer {
	e.T.Helper()
	form := url.Values{"mandrill_events": {events}}
	signature := mandrill.Signature(key, webhookURL, form)
	return e.callEvents(http.MethodPost, form.Encode(), "application/x-www-form-urlencoded", signature)
}

func (e eventsEdge) callEvents(method, body, contentType, signature string) edgetest.Answer {
	e.T.Helper()
	address := "http://" + e.Address + "/mandrill"
	r, err := http.NewRequestWithContext(e.T.Context(), method, address, strings.NewReader(body))
	if err != nil {
		e.T.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Mandrill-Signature", signature)
	got, err := e.Do(r)
	if err != nil {
		e.T.Fatal(err)
	}
	return got
}
