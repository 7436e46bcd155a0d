package caddymodule

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// gauges collect the state of the running configuration's outbox at each scrape. They use what was counted last: a
// scrape never waits for the database.
type gauges struct {
	entries, oldest, undelivered, maxPending, held, holds, refused, ready, broken, secrets, unindexed,
	leftBehind *prometheus.Desc
}

func newGauges() *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &gauges{
		entries:     desc("outbox_entries", "Entries in the outbox, by state.", "state"),
		oldest:      desc("outbox_oldest_seconds", "Age of the oldest entry in a state, since it was accepted.", "state"),
		undelivered: desc("outbox_undelivered", "Entries that are neither sent nor at an end."),
		maxPending: desc("outbox_max_undelivered",
			"The number of undelivered entries past which hooks get 503 (max_pending)."),
		held: desc("sender_held",
			"Whether a sender (a domain, or list: and an id) sends nothing, because its account can't (reason hold) "+
				"or because the operator paused it (reason pause).", "sender", "reason"),
		holds: desc("holds", "Holds and pauses in force, by what they keep back.", "scope"),
		refused: desc("sender_refused",
			"Whether the last answers for a sender were all refusals, at least 3 of them.", "sender"),
		leftBehind: desc("outbox_left_behind",
			"Undelivered entries in the file of a former outbox, which nobody delivers."),
		secrets: desc("secrets_refused",
			"Secrets whose files have a new value that can't be used, so that the former one stays in force."),
		unindexed: desc("search_unindexed",
			"Whether Mandrill's search can't find the mails of a sender, because the account has no index.", "sender"),
		ready: desc("ready", "Whether hooks would be stored."),
		broken: desc("template_broken",
			"Whether the file of a template is broken, so that its last good version is in force.", "template"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		g.entries, g.oldest, g.undelivered, g.maxPending, g.held, g.holds, g.refused,
		g.ready, g.broken, g.secrets, g.leftBehind, g.unindexed,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	app := Running()
	if app == nil {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, template := range app.Templates() {
		gauge(g.broken, boolGauge(template.Error != ""), template.Template)
	}
	gauge(g.secrets, float64(len(app.SecretTroubles())))
	if app.outbox == nil {
		gauge(g.ready, 1)
		return
	}
	gauge(g.leftBehind, float64(app.leftBehind.Load()))
	gauge(g.ready, boolGauge(app.outbox.Ready() == nil))
	gauge(g.undelivered, float64(app.outbox.Undelivered()))
	gauge(g.maxPending, float64(app.outbox.MaxPending()))
	scopes := make(map[outbox.Scope]int)
	for _, hold := range app.outbox.HoldsHere() {
		scopes[hold.Scope]++
	}
	for _, scope := range outbox.Scopes {
		gauge(g.holds, float64(scopes[scope]), string(scope))
	}
	holds, refused := app.outbox.HoldsBySender(), app.outbox.Refused()
	for _, sender := range app.Senders() {
		hold := holds[sender]
		gauge(g.held, boolGauge(hold.Reason != ""), sender, "hold")
		gauge(g.held, boolGauge(hold.Paused), sender, "pause")
		gauge(g.refused, boolGauge(refused[sender].Attempts > 0), sender)
	}
	for _, domain := range app.Domains() {
		gauge(g.unindexed, boolGauge(app.isUnindexed(domain)), domain)
	}
	summary, ok := app.outbox.Summary()
	if !ok {
		return
	}
	for _, state := range outbox.States {
		gauge(g.entries, float64(summary.Counts[state]), string(state))
		age := 0.0
		if oldest, ok := summary.Oldest[state]; ok {
			age = max(0, time.Since(oldest).Seconds())
		}
		gauge(g.oldest, age, string(state))
	}
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
