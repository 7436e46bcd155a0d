package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

const tracerName = "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook"

// provider is that of the last request to which Caddy's tracing gave a span. Caddy keeps it to itself, and one for
// the whole process: the sending, which comes later and in no request, uses it too.
var provider atomic.Pointer[trace.TracerProvider]

// noteProvider remembers who traces the request.
func noteProvider(r *http.Request) {
	if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
		traces := span.TracerProvider()
		provider.Store(&traces)
	}
}

// startSpan begins a part of a request, if it is traced.
func startSpan(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	traced := trace.SpanFromContext(ctx)
	if !traced.SpanContext().IsValid() {
		return ctx, traced
	}
	return traced.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithAttributes(attributes...))
}

// endSpan ends it. The text of an error holds nothing that a person may have typed.
func (h *Webhook) endSpan(span trace.Span, err error) {
	if err != nil && !errors.Is(err, render.ErrCancelled) {
		span.SetStatus(codes.Error, h.explain(err, false))
	}
	span.End()
}

// startSending begins a trace of its own, which is linked to that of the hook.
func startSending(ctx context.Context, entry outbox.Delivery) (context.Context, trace.Span) {
	var traces trace.TracerProvider = noop.NewTracerProvider()
	if known := provider.Load(); known != nil {
		traces = *known
	}
	carrier := propagation.MapCarrier{"traceparent": entry.Trace}
	hook := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	return traces.Tracer(tracerName).Start(ctx, "mailchimp.send",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.Link{SpanContext: hook}),
		trace.WithAttributes(
			attribute.String("mailchimp.entry", entry.ID), attribute.String("mailchimp.sender", entry.Sender),
			attribute.String("mailchimp.template", entry.Template), attribute.Int("mailchimp.attempt", len(entry.Attempts)+1)))
}

// endSending says what became of the attempt.
func endSending(span trace.Span, result outbox.Result) {
	span.SetAttributes(attribute.String("mailchimp.outcome", verdicts[result.Verdict]))
	switch result.Verdict {
	case outbox.VerdictSent, outbox.VerdictDiscarded, outbox.VerdictRendered, outbox.VerdictWait:
	default:
		span.SetStatus(codes.Error, result.Reason)
	}
	span.End()
}

// traceOf returns the W3C traceparent of a request: that of its trace here, else the request's own.
func traceOf(r *http.Request) string {
	ctx := r.Context()
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// traceID is the trace's id in a traceparent, or empty.
func traceID(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}
