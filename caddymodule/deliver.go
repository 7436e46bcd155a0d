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

// entryField is the metadata field that has the entry's id, by which Mandrill's search finds the message if
// the operator made the field searchable.
const entryField = "outbox_entry"

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
}

func (d deliverer) deliver(ctx context.Context, entry outbox.Delivery) outbox.Result {
	hook := d.hook(entry)
	var rendered []byte
	if entry.Unrendered {
		var result *outbox.Result
		if rendered, result = d.render(ctx, hook, entry); result != nil {
			return *result
		}
		entry.Content = rendered
	}
	var request mandrill.Request
	if err := json.Unmarshal(entry.Content, &request); err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "the entry's content can't be read"}
	}
	client := d.app.clientOf(entry.Sender)
	if client == nil {
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "no api_key is configured for the sender"}
	}
	timeout := defaultTimeout
	if hook != nil {
		timeout = time.Duration(hook.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := d.attempt(ctx, client, &request, entry)
	result.Content = rendered
	return result
}

// hook finds a hook with the entry's template and sender, or nil.
func (d deliverer) hook(entry outbox.Delivery) *Hook {
	d.app.mu.Lock()
	defer d.app.mu.Unlock()
	for _, hook := range d.app.hooks {
		if hook.Template == entry.Template && hook.policy.Allows(entry.Sender) {
			return hook
		}
	}
	return nil
}

// render renders an entry with the template of the day.
func (d deliverer) render(ctx context.Context, hook *Hook, entry outbox.Delivery) ([]byte, *outbox.Result) {
	still := func(reason string) *outbox.Result {
		return &outbox.Result{Verdict: outbox.VerdictUnrendered, Reason: reason}
	}
	if hook == nil {
		return nil, still("no hook has its template and its sender domain any more")
	}
	var data map[string]any
	if err := json.Unmarshal(entry.Content, &data); err != nil {
		return nil, still("its ctx can't be read")
	}
	message, err := hook.template.Render(ctx, data)
	if errors.Is(err, render.ErrCancelled) {
		return nil, &outbox.Result{Verdict: outbox.VerdictDiscarded, Reason: "the template cancelled"}
	}
	if err != nil {
		return nil, still(hook.explain(err, false))
	}
	request, err := mandrill.ParseRequest(message, hook.policy)
	if err != nil {
		return nil, still(hook.explain(err, false))
	}
	content, err := json.Marshal(request)
	if err != nil {
		return nil, still(err.Error())
	}
	return content, nil
}

func (d deliverer) attempt(ctx context.Context, client *mandrill.Client, request *mandrill.Request, entry outbox.Delivery) outbox.Result {
	var before []mandrill.Recipient
	if entry.Outcome != nil && json.Unmarshal(entry.Outcome, &before) == nil && slices.ContainsFunc(before, mandrill.Recipient.Held) {
		return d.lookUp(ctx, client, before, entry)
	}
	if entry.Uncertain {
		// What can't be found is sent: the search lags, and needs a field that is searchable.
		found, err := client.Search(ctx, "u_"+entryField+":"+entry.ID, searched)
		if err == nil && slices.ContainsFunc(found, func(i mandrill.Info) bool { return isTo(request, i.Email) }) {
			return outbox.Result{Verdict: outbox.VerdictSent, Reason: "found at Mandrill after an attempt whose end wasn't known"}
		}
	}
	request.SetMetadata(entryField, entry.ID)
	started := time.Now()
	recipients, err := client.Send(ctx, request)
	d.app.metrics.sendSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		return failure(err)
	}
	for _, recipient := range recipients {
		d.app.metrics.countRecipient(recipient)
	}
	return d.outcome(request, recipients)
}

// searched is how many messages are looked at: another outbox, whose mails go through the same account, has
// entries with the same ids.
const searched = 20

func isTo(request *mandrill.Request, address string) bool {
	return slices.ContainsFunc(request.Recipients(), func(to string) bool { return strings.EqualFold(to, address) })
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
func (d deliverer) lookUp(ctx context.Context, client *mandrill.Client, recipients []mandrill.Recipient, entry outbox.Delivery) outbox.Result {
	waiting := false
	for i, recipient := range recipients {
		if !recipient.Held() || recipient.ID == "" {
			continue
		}
		info, err := client.Info(ctx, recipient.ID)
		if err != nil {
			return failure(err)
		}
		switch info.State {
		case "queued", "scheduled":
			waiting = true
		case "rejected", "canceled":
			recipients[i].Status, recipients[i].QueuedReason = "rejected", ""
		default:
			recipients[i].Status, recipients[i].QueuedReason = "sent", ""
		}
	}
	kept := d.keep(recipients)
	switch {
	case waiting && time.Since(entry.Accepted) > backlogged:
		return outbox.Result{Verdict: outbox.VerdictDead, Outcome: kept, Reason: fmt.Sprintf("Mandrill queued the mail and gave it up after %s", backlogged)}
	case waiting:
		return outbox.Result{Verdict: outbox.VerdictHold, Outcome: kept, Reason: "Mandrill queued the mail for the account's sake"}
	case slices.ContainsFunc(recipients, mandrill.Recipient.Taken):
		return outbox.Result{Verdict: outbox.VerdictSent, Outcome: kept}
	default:
		return outbox.Result{Verdict: outbox.VerdictRejected, Outcome: kept, Reason: "rejected after Mandrill had queued it"}
	}
}
