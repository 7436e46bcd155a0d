package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// Metadata fields. Mandrill's search finds a message by the entry's id if the operator made that field searchable;
// the other one tells entries of several outboxes of one account apart.
const (
	entryField  = "outbox_entry"
	outboxField = "outbox"
)

// backlogged is how long Mandrill keeps the mail of an account that can't send.
const backlogged = 48 * time.Hour

// deliverer sends the outbox's entries with the accounts of a configuration.
type deliverer struct{ app *App }

// Deliver makes one attempt.
func (d deliverer) Deliver(ctx context.Context, entry outbox.Delivery) outbox.Result {
	ctx, span := startSending(ctx, entry)
	result := d.deliver(ctx, entry)
	endSending(span, result)
	d.app.metrics.attempts.WithLabelValues(verdicts[result.Verdict]).Inc()
	return result
}

// verdicts are the words for what became of an attempt.
var verdicts = map[outbox.Verdict]string{
	outbox.VerdictSent: "sent", outbox.VerdictRejected: "rejected", outbox.VerdictDead: "dead", outbox.VerdictDiscarded: "discarded",
	outbox.VerdictRetry: "retry", outbox.VerdictHold: "held", outbox.VerdictUnknown: "unknown", outbox.VerdictUnrendered: "unrendered",
	outbox.VerdictRendered: "rendered", outbox.VerdictGivenUp: "dead",
}

func (d deliverer) deliver(ctx context.Context, entry outbox.Delivery) outbox.Result {
	hook := d.hook(entry)
	if entry.Unrendered {
		return d.render(ctx, hook, entry)
	}
	var request mandrill.Request
	if err := json.Unmarshal(entry.Content, &request); err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "the entry's content can't be read"}
	}
	client := d.app.clientOf(entry.Sender)
	if client == nil {
		// The next configuration doesn't work this sender any more, or has an account for it.
		return outbox.Result{Verdict: outbox.VerdictHold, Reason: "no api_key is configured for the sender", Uncertain: entry.Uncertain}
	}
	a := attempt{deliverer: d, client: client, request: &request, entry: entry, timeout: defaultTimeout}
	if hook != nil {
		a.timeout = time.Duration(hook.Timeout)
	}
	return a.run(ctx)
}

// hook finds the hook that made an entry, or one with its template and sender, or nil.
func (d deliverer) hook(entry outbox.Delivery) *Hook {
	d.app.mu.Lock()
	defer d.app.mu.Unlock()
	var similar *Hook
	for _, hook := range d.app.hooks {
		if hook.id == entry.Handler {
			return hook
		}
		if similar == nil && hook.Template == entry.Template && hook.policy.Allows(entry.Sender) {
			similar = hook
		}
	}
	return similar
}

// render renders an entry with the template of the day.
func (d deliverer) render(ctx context.Context, hook *Hook, entry outbox.Delivery) outbox.Result {
	still := func(reason string) outbox.Result {
		return outbox.Result{Verdict: outbox.VerdictUnrendered, Reason: reason}
	}
	if hook == nil {
		return still("no hook has its template and its sender domain any more")
	}
	var data map[string]any
	if err := json.Unmarshal(entry.Content, &data); err != nil {
		return still("its ctx can't be read")
	}
	message, err := hook.template.Render(ctx, data)
	if errors.Is(err, render.ErrCancelled) {
		return outbox.Result{Verdict: outbox.VerdictDiscarded, Reason: "the template cancelled"}
	}
	if err != nil {
		return still(hook.explain(err, false))
	}
	request, err := mandrill.ParseRequest(message, hook.policy)
	if err != nil {
		return still(hook.explain(err, false))
	}
	rendered, err := newEntry(request, entry.Accepted)
	if err != nil {
		return still(err.Error())
	}
	if rendered.Expires.IsZero() {
		rendered.Expires = entry.Expires
	}
	return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &rendered}
}

// attempt is one try to send a message.
type attempt struct {
	deliverer
	client  *mandrill.Client
	request *mandrill.Request
	entry   outbox.Delivery
	// timeout is that of one call.
	timeout time.Duration
}

func (a attempt) run(ctx context.Context) outbox.Result {
	if !a.entry.Taken.IsZero() {
		return a.lookUp(ctx)
	}
	uncertain := a.entry.Uncertain
	if uncertain {
		result, answered := a.search(ctx)
		if result != nil {
			return *result
		}
		uncertain = !answered
	}
	a.request.SetMetadata(entryField, a.entry.ID)
	a.request.SetMetadata(outboxField, a.app.outbox.ID())
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	started := time.Now()
	recipients, err := a.client.Send(ctx, a.request)
	a.app.metrics.sendSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		result := failure(err)
		result.Uncertain = uncertain
		return result
	}
	for _, recipient := range recipients {
		a.app.metrics.countRecipient(recipient)
	}
	return a.outcome(a.request, recipients)
}

// search looks for the mail of an attempt whose end isn't known. Its result is nil where the mail is to be sent: it wasn't found, or
// the question wasn't answered, as where the key may not search.
func (a attempt) search(ctx context.Context) (result *outbox.Result, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	found, err := a.client.Search(ctx, "u_"+entryField+":"+a.entry.ID, 100)
	if err != nil {
		failed := failure(err)
		if failed.Verdict != outbox.VerdictRetry && failed.Verdict != outbox.VerdictUnknown {
			return nil, false
		}
		failed.Verdict, failed.Uncertain = outbox.VerdictRetry, true
		return &failed, false
	}
	ours := func(info mandrill.Info) bool {
		if info.Metadata[entryField] != a.entry.ID {
			return false
		}
		// Where its metadata had no room, a mail doesn't say whose it is.
		if whose, says := info.Metadata[outboxField].(string); says {
			if whose == a.app.outbox.ID() {
				return true
			}
			if !a.app.outbox.Took(ctx, whose) {
				return false
			}
		}
		return slices.ContainsFunc(a.request.Recipients(), func(to string) bool { return strings.EqualFold(to, info.Email) })
	}
	found = slices.DeleteFunc(found, func(info mandrill.Info) bool { return !ours(info) })
	if len(found) == 0 {
		return nil, true
	}
	recipients := make([]mandrill.Recipient, len(found))
	for i, info := range found {
		recipients[i] = mandrill.Recipient{Email: info.Email, ID: info.ID, Status: "sent"}
		if info.State == "rejected" {
			recipients[i].Status, recipients[i].RejectReason = "rejected", info.RejectReason
		}
	}
	outcome := a.outcome(a.request, recipients)
	if outcome.Reason == "" {
		outcome.Reason = "found at Mandrill after an attempt whose end wasn't known"
	}
	return &outcome, true
}

// keep is what is kept of what Mandrill said: addresses only where the operator asked for them.
func (d deliverer) keep(recipients []mandrill.Recipient) json.RawMessage {
	kept := slices.Clone(recipients)
	if !d.app.LogRecipients {
		for i := range kept {
			kept[i].Email = ""
		}
	}
	encoded, err := json.Marshal(kept)
	if err != nil {
		return nil
	}
	return encoded
}

// outcome sorts what Mandrill said of each recipient.
func (d deliverer) outcome(request *mandrill.Request, recipients []mandrill.Recipient) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictRejected, Outcome: d.keep(recipients)}
	for _, recipient := range recipients {
		switch {
		case recipient.Held():
			result.Verdict, result.Reason = outbox.VerdictHold, "Mandrill queued the mail: "+recipient.QueuedReason
			return result
		case !recipient.Taken():
			result.Reason = refusalOf(recipient)
		case request.IsPrimary(recipient.Email):
			result.Verdict = outbox.VerdictSent
		}
	}
	return result
}

// refusalOf says why a recipient was refused, and what can be done.
func refusalOf(r mandrill.Recipient) string {
	reason := r.Status
	if r.RejectReason != "" {
		reason += ": " + r.RejectReason
	}
	if remedy := r.Remedy(); remedy != "" {
		reason += ": " + remedy
	}
	return reason
}

// failure sorts a call that gave no outcome.
func failure(err error) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictRetry, Reason: explain(err, false)}
	var call *mandrill.Error
	if !errors.As(err, &call) {
		return result
	}
	result.After = call.RetryAfter
	switch call.Kind {
	case mandrill.Refused:
		result.Verdict = outbox.VerdictDead
	case mandrill.Account:
		result.Verdict = outbox.VerdictHold
	case mandrill.Unknown:
		result.Verdict = outbox.VerdictUnknown
	}
	return result
}

// lookUp asks what became of a mail that Mandrill had queued for a reason that lies with the account.
func (a attempt) lookUp(ctx context.Context) outbox.Result {
	var recipients []mandrill.Recipient
	if err := json.Unmarshal(a.entry.Outcome, &recipients); err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "what Mandrill said of the entry can't be read"}
	}
	addressed(recipients, a.request)
	waiting := false
	for i, recipient := range recipients {
		if !recipient.Held() || recipient.ID == "" {
			continue
		}
		state, err := a.state(ctx, recipient.ID)
		if err != nil {
			return failure(err)
		}
		switch state {
		case "queued", "scheduled":
			waiting = true
		case "rejected", "canceled":
			recipients[i].Status, recipients[i].QueuedReason = "rejected", ""
		default:
			recipients[i].Status, recipients[i].QueuedReason = "sent", ""
		}
	}
	switch {
	case waiting && time.Since(a.entry.Taken) > backlogged:
		return outbox.Result{Verdict: outbox.VerdictGivenUp, Outcome: a.keep(recipients), Reason: fmt.Sprintf("Mandrill queued the mail and gave it up after %s", backlogged)}
	case waiting:
		return outbox.Result{Verdict: outbox.VerdictHold, Outcome: a.keep(recipients), Reason: "Mandrill queued the mail for the account's sake"}
	}
	return a.outcome(a.request, recipients)
}

// state asks for one mail. Mandrill knows of a mail some time after it has queued it.
func (a attempt) state(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	info, err := a.client.Info(ctx, id)
	var failed *mandrill.Error
	if errors.As(err, &failed) && failed.Name == "Unknown_Message" {
		return "queued", nil
	}
	return info.State, err
}

// addressed gives recipients their addresses, which are kept only where the operator asked for them. Mandrill
// answers in the order of the message.
func addressed(recipients []mandrill.Recipient, request *mandrill.Request) {
	if addresses := request.Recipients(); len(addresses) == len(recipients) {
		for i := range recipients {
			recipients[i].Email = addresses[i]
		}
	}
}
