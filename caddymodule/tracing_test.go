package caddymodule_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// spans is an OpenTelemetry collector.
type spans struct {
	t       *testing.T
	mu      sync.Mutex
	byName  map[string]*traces.Span
	changed chan struct{}
}

func newSpans(t *testing.T) *spans {
	t.Helper()
	s := &spans{t: t, byName: make(map[string]*traces.Span), changed: make(chan struct{})}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	return s
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		s.t.Error("the collector can't read what it gets")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.byName[span.GetName()] = span
			}
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (s *spans) wait(name string) *traces.Span {
	s.t.Helper()
	for deadline := time.After(time.Minute); ; {
		s.mu.Lock()
		span, changed := s.byName[name], s.changed
		s.mu.Unlock()
		if span != nil {
			return span
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("there was no span %s", name)
		}
	}
}

// TestTracing follows a mail from Ory's request to the sending.
func TestTracing(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s := newSpans(t)
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	traced := func(lines string) string {
		return strings.Replace(e.Caddyfile(lines), "\tmetrics /metrics\n",
			"\tmetrics /metrics\n\ttracing {\n\t\tspan hooks\n\t}\n", 1)
	}
	if err := e.Load(traced("")); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada, edgetest.Header("Traceparent", "00-"+trace+"-"+parent+"-01")).Entry()
	entry := e.WaitState(id, outbox.Sent)
	request, render := s.wait("hooks"), s.wait("mailchimp.render")
	store, send := s.wait("mailchimp.store"), s.wait("mailchimp.send")
	for name, span := range map[string]*traces.Span{"request": request, "render": render, "store": store} {
		if hex.EncodeToString(span.GetTraceId()) != trace {
			t.Errorf("%s is in another trace", name)
		}
	}
	if hex.EncodeToString(request.GetParentSpanId()) != parent ||
		string(render.GetParentSpanId()) != string(request.GetSpanId()) ||
		string(store.GetParentSpanId()) != string(request.GetSpanId()) {
		t.Error("the spans don't hang together")
	}
	if links := send.GetLinks(); hex.EncodeToString(send.GetTraceId()) == trace || len(links) != 1 ||
		hex.EncodeToString(links[0].GetTraceId()) != trace {
		t.Errorf("the sending is not linked: %v", send)
	}
	if !strings.Contains(entry.Trace, trace) {
		t.Errorf("the entry has the trace %q", entry.Trace)
	}
	e.WaitForLog(`"trace":"` + trace + `"`)
	for name, span := range map[string]*traces.Span{"request": request, "render": render, "store": store, "send": send} {
		for _, secret := range []string{edgetest.APIKey, edgetest.HookKey, "ada@example.net"} {
			if strings.Contains(span.String(), secret) {
				t.Errorf("%s has %s", name, secret)
			}
		}
	}
	if err := e.Load(traced("delivery sync")); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	clear(s.byName)
	s.mu.Unlock()
	e.Post(strings.Replace(edgetest.Ada, "f1", "f2", 1), edgetest.Header("Traceparent", "00-"+trace+"-"+parent+"-01"))
	if span := s.wait("mailchimp.send"); hex.EncodeToString(span.GetTraceId()) != trace {
		t.Error("a sync call is sent in another trace")
	}
}

// TestTraceOfARendering has an entry that could be rendered at last be no error.
func TestTraceOfARendering(t *testing.T) {
	s := newSpans(t)
	e := edgetest.NewWith(t, "function(ctx) error 'broken'", "", "")
	traced := strings.Replace(e.Caddyfile(""), "\tmetrics /metrics\n", "\tmetrics /metrics\n\ttracing\n", 1)
	if err := e.Load(traced); err != nil {
		t.Fatal(err)
	}
	id := e.Post(edgetest.Ada).Entry()
	e.WaitState(id, outbox.Unrendered)
	// Rendered, it is of no more use: so the span is the rendering's.
	e.Write("t.jsonnet", strings.Replace(edgetest.Minimal, "message:", "delivery: { expires_in: '1ns' }, message:", 1))
	e.WaitForLog(`"msg":"template changed"`)
	if err := edgetest.Outbox().Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e.WaitState(id, outbox.Expired)
	if span := s.wait("mailchimp.send"); span.GetStatus().GetCode() == traces.Status_STATUS_CODE_ERROR {
		t.Errorf("the rendering is %v", span.GetStatus())
	}
}

// TestTraceWithoutTracing keeps what the caller said, where it makes sense.
func TestTraceWithoutTracing(t *testing.T) {
	e := edgetest.NewWith(t, edgetest.Minimal, "", "")
	for n, test := range []struct{ given, want string }{
		{
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		},
		{"s3cret ada@example.net", ""},
		{"", ""},
	} {
		id := e.Post(strings.Replace(edgetest.Ada, "f1", string(rune('a'+n)), 1),
			edgetest.Header("Traceparent", test.given)).Entry()
		if entry := e.WaitState(id, outbox.Sent); entry.Trace != test.want {
			t.Errorf("%q became %q", test.given, entry.Trace)
		}
	}
}
