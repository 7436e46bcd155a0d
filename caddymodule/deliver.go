package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// outgoing is a message or a change of an audience: what a template returned, checked and ready to be sent.
type outgoing interface {
	json.Marshaler
	// IdempotencyKey and ExpiresIn are what the template said about the delivery.
	IdempotencyKey() string
	ExpiresIn() time.Duration
	// Recipients returns the addresses that it is for.
	Recipients() []string
	// Subaccount names the part of the account that sends it, or is empty.
	Subaccount() string
	// Private reports whether its content must not be kept.
	Private() bool
	// sender names the account that sends it.
	sender() string
	// send sends it once.
	send(ctx context.Context) ([]mandrill.Recipient, error)
	// accepted reports whether Mailchimp accepted the recipient.
	accepted(recipient mandrill.Recipient) bool
	// outcome turns what Mailchimp said of the recipients into the result of an attempt.
	outcome(recipients []mandrill.Recipient) outbox.Result
	// failure turns the error of send into the result of an attempt.
	failure(ctx context.Context, err error) outbox.Result
	// tie adds what ties a message to its entry of an outbox, and reports whether there was room for it.
	tie(entry, outbox string) bool
}

// stored is an outgoing message or change that was read from the outbox.
type stored interface {
	// attempt tries to send the entry. The timeout is that of one call.
	attempt(ctx context.Context, entry outbox.Delivery, timeout time.Duration) outbox.Result
}

// deliverer sends the outbox's entries with the accounts of a configuration.
type deliverer struct{ app *App }

// Deliver makes one attempt.
func (d deliverer) Deliver(ctx context.Context, entry outbox.Delivery) outbox.Result {
	ctx, span := startSending(ctx, entry)
	result := d.deliver(ctx, entry)
	endSending(span, result)
	d.app.metrics.attempts.WithLabelValues(verdicts[result.Verdict], entry.Sender, entry.Template).Inc()
	return result
}

// verdicts are the words for the results of attempts.
var verdicts = map[outbox.Verdict]string{
	outbox.VerdictSent:        "sent",
	outbox.VerdictRejected:    "rejected",
	outbox.VerdictDead:        "dead",
	outbox.VerdictDiscarded:   "discarded",
	outbox.VerdictRetry:       "retry",
	outbox.VerdictWait:        "waits",
	outbox.VerdictHold:        "held",
	outbox.VerdictUnknown:     "unknown",
	outbox.VerdictUnrendered:  "unrendered",
	outbox.VerdictRendered:    "rendered",
	outbox.VerdictBacklogged:  "backlogged",
	outbox.VerdictResend:      "resend",
	outbox.VerdictNotAccepted: "not accepted",
}

func (d deliverer) deliver(ctx context.Context, entry outbox.Delivery) outbox.Result {
	hook := d.hook(entry)
	if entry.Unrendered {
		return d.render(ctx, hook, entry)
	}
	o, err := d.restore(entry)
	if err != nil {
		return outbox.Result{Verdict: outbox.VerdictDead, Reason: "the entry's content can't be read"}
	}
	if o == nil {
		// A reload removed this sender's account: its entries wait until there is one.
		return outbox.Result{Verdict: outbox.VerdictWait, Reason: "no api_key is configured for the sender"}
	}
	timeout := DefaultTimeout
	if hook != nil {
		timeout = time.Duration(hook.Timeout)
	}
	return o.attempt(ctx, entry, timeout)
}

// restore returns what was stored as an entry, or nil if there is no account for its sender.
func (d deliverer) restore(entry outbox.Delivery) (stored, error) {
	if account := d.app.listFor(entry.Sender); account != nil {
		restored := new(audience.Change)
		err := json.Unmarshal(entry.Content, restored)
		return change{Change: restored, app: d.app, account: account}, err
	}
	client := d.app.ClientFor(entry.Sender)
	if client == nil {
		return nil, nil
	}
	message, err := mandrill.ParseStored(entry.Content)
	return storedMail{message, d.app, client}, err
}

// hook returns the hook that made an entry, else one with its template and sender, else nil.
func (d deliverer) hook(entry outbox.Delivery) *Webhook {
	d.app.mu.Lock()
	defer d.app.mu.Unlock()
	var similar *Webhook
	for _, hook := range d.app.hooks {
		if hook.id == entry.Handler {
			return hook
		}
		if similar == nil && hook.Template == entry.Template && hook.kind.sends(entry.Sender) {
			similar = hook
		}
	}
	return similar
}

// render renders an unrendered entry with the template that is in force now.
func (d deliverer) render(ctx context.Context, hook *Webhook, entry outbox.Delivery) outbox.Result {
	still := func(reason string) outbox.Result {
		return outbox.Result{Verdict: outbox.VerdictUnrendered, Reason: reason}
	}
	if hook == nil {
		return still("no hook has its template and its sender any more")
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
		return still(hook.explain(err, d.app.LogRecipients))
	}
	o, err := hook.kind.parse(message)
	if err != nil {
		return still(hook.explain(err, d.app.LogRecipients))
	}
	box, err := d.app.outbox.ID()
	if err != nil {
		return still(err.Error())
	}
	if !o.tie(entry.ID, box) {
		hook.noteUntied()
	}
	rendered, err := newEntry(o, entry.Accepted)
	if err != nil {
		return still(err.Error())
	}
	if given := o.IdempotencyKey(); given != "" {
		rendered.Key = hook.templateKey(given)
	}
	if rendered.Expires.IsZero() {
		rendered.Expires = entry.Expires
	}
	return outbox.Result{Verdict: outbox.VerdictRendered, Rendered: &rendered}
}

// failure turns the error of a call into the result of an attempt. The content is that of the entry.
func (a *App) failure(err error, content []byte) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictRetry, Reason: a.why(err, content)}
	var changing *audience.Error
	if errors.As(err, &changing) {
		return changeFailure(changing, result)
	}
	var call *mandrill.Error
	if !errors.As(err, &call) {
		return result
	}
	result.After, result.SlowDown = call.RetryAfter, call.Name == "ServiceUnavailable"
	result.RateLimited = call.Name == "RequestLimitExceeded" || call.Status == http.StatusTooManyRequests
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
