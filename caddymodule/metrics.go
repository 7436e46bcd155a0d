package caddymodule

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// metrics are made once in a process and registered with each configuration's registry, so that
// counters survive a reload.
type metrics struct {
	hooks            *prometheus.CounterVec
	recipients       *prometheus.CounterVec
	renderSeconds    prometheus.Histogram
	sendSeconds      prometheus.Histogram
	templateFailures prometheus.Counter
	outboxEvents     *prometheus.CounterVec
	attempts         *prometheus.CounterVec
	mailEvents       *prometheus.CounterVec
	eventsRefused    *prometheus.CounterVec
	eventsDropped    prometheus.Counter
	members          *prometheus.CounterVec
	audienceSeconds  prometheus.Histogram
	gauges           *gauges
}

const namespace = "caddy_mailchimp"

var newMetrics = sync.OnceValue(func() *metrics {
	m := makeMetrics()
	m.initSeries()
	return m
})

// initSeries creates the series that alerts use at 0: Prometheus does not see the first increase of a new series.
func (m *metrics) initSeries() {
	for _, event := range mandrill.EventKinds {
		m.mailEvents.WithLabelValues(event, "true")
		m.mailEvents.WithLabelValues(event, "false")
	}
	for _, event := range []string{"retry", "interrupted", "hold", "release", "sealed", "lost"} {
		m.outboxEvents.WithLabelValues(event)
	}
	for _, reason := range refusalReasons {
		m.eventsRefused.WithLabelValues(reason)
	}
}

// initHook creates the series of a hook that alerts use.
func (m *metrics) initHook(senders []string, template string) {
	for _, status := range []int{
		http.StatusNoContent, http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
	} {
		m.hooks.WithLabelValues(strconv.Itoa(status), senders[0], template)
	}
	for _, sender := range senders {
		for _, outcome := range verdicts {
			m.attempts.WithLabelValues(outcome, sender, template)
		}
		if strings.HasPrefix(sender, ListPrefix) {
			continue
		}
		for _, status := range mandrill.Statuses {
			m.recipients.WithLabelValues(status, "", sender, template)
		}
		for _, reason := range mandrill.RejectReasons {
			m.recipients.WithLabelValues("rejected", reason, sender, template)
		}
	}
}

func makeMetrics() *metrics {
	return &metrics{
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "hooks_total",
			Help: "Hooks answered, by HTTP status, the sender (the first one of the hook) and the template.",
		}, []string{"status", "sender", "template"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "recipients_total",
			Help: "Recipients that Mandrill answered for, by its status, its reason for rejecting, the sender and the template.",
		}, []string{"status", "reason", "sender", "template"}),
		renderSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "render_seconds",
			Help:    "Time taken by the evaluation of a template.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		sendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "mandrill_seconds",
			Help:    "Time taken by one call of Mandrill.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
		outboxEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "outbox_events_total",
			Help: "What happened in the outbox: states that entries got into, retries, holds and releases of senders.",
		}, []string{"event"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "attempts_total",
			Help: "Attempts of the outbox to send an entry, by what became of them, the sender and the template.",
		}, []string{"outcome", "sender", "template"}),
		mailEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "mail_events_total",
			Help: "Events that Mandrill told mailchimp_events of, by kind, and whether their entry is in the outbox (tied).",
		}, []string{"event", "tied"}),
		eventsRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "events_refused_total",
			Help: "Calls of mailchimp_events that were refused, by the reason.",
		}, []string{"reason"}),
		eventsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "events_dropped_total",
			Help: "Events that Caddy's events app did not receive, because its handlers were too slow.",
		}),
		members: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "members_total",
			Help: "Addresses for which an audience was changed, by their status there afterwards.",
		}, []string{"status"}),
		audienceSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "audience_seconds",
			Help:    "Time taken by one change of an audience, all its calls of Mailchimp included.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
		gauges: newGauges(),
		templateFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "template_reload_failures_total",
			Help: "Changed templates that were broken, so that the last good one stayed in force.",
		}),
	}
}

// registerMetrics returns the process's metrics, registered with the configuration's registry.
func registerMetrics(ctx caddy.Context) (*metrics, error) {
	m := newMetrics()
	for _, collector := range m.collectors() {
		err := ctx.GetMetricsRegistry().Register(collector)
		if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.hooks, m.recipients, m.renderSeconds, m.sendSeconds, m.templateFailures, m.outboxEvents, m.attempts,
		m.mailEvents, m.eventsRefused, m.eventsDropped, m.members, m.audienceSeconds, m.gauges,
	}
}

func (m *metrics) countHook(status int, sender, template string) {
	m.hooks.WithLabelValues(strconv.Itoa(status), sender, template).Inc()
}

func (m *metrics) countRecipient(r mandrill.Recipient, sender, template string) {
	m.recipients.WithLabelValues(labelFor(r.Status, mandrill.Statuses),
		labelFor(r.RejectReason, mandrill.RejectReasons), sender, template).Inc()
}

// countMailEvent counts an event of Mandrill's. tied reports whether its entry is in the outbox.
func (m *metrics) countMailEvent(event string, tied bool) {
	m.mailEvents.WithLabelValues(labelFor(event, mandrill.EventKinds), strconv.FormatBool(tied)).Inc()
}

// labelFor returns a word if it is one of the known words, else "other", so that there are few series.
func labelFor(word string, words []string) string {
	if word == "" || slices.Contains(words, word) {
		return word
	}
	return "other"
}
