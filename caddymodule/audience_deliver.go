package caddymodule

import (
	"context"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// change is a change of an audience.
type change struct {
	*audience.Change
	app     *App
	account *listAccount
	// timeout is that of one call. attempt sets it.
	timeout time.Duration
}

func (c change) sender() string { return listSender(c.account.list) }

func (c change) Recipients() []string { return c.Addresses() }

func (c change) Subaccount() string { return "" }

func (c change) Private() bool { return false }

// tie has nothing to add: the address of a change is what identifies it.
func (c change) tie(string, string) bool { return true }

// accepted returns true: what Mailchimp answers for is done, and a refusal is an error.
func (c change) accepted(mandrill.Recipient) bool { return true }

func (c change) send(ctx context.Context) ([]mandrill.Recipient, error) {
	started := time.Now()
	members, err := c.account.client.Load().Apply(ctx, c.account.list, c.Change, c.timeout)
	c.app.metrics.audienceSeconds.Observe(time.Since(started).Seconds())
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		c.app.metrics.members.WithLabelValues(labelFor(member.Status, audience.Statuses)).Inc()
	}
	return recipientsOf(members), nil
}

// recipientsOf returns members in the form in which results are stored: without an ID, because the ID of a member is a
// hash of the address.
func recipientsOf(members []audience.Member) []mandrill.Recipient {
	recipients := make([]mandrill.Recipient, len(members))
	for i, member := range members {
		recipients[i] = mandrill.Recipient{Email: member.Email, Status: member.Status}
	}
	return recipients
}

func (c change) failure(_ context.Context, err error) outbox.Result {
	content, _ := c.MarshalJSON() // its encoding was checked when it was parsed
	return c.app.failure(err, content)
}

func (c change) outcome(recipients []mandrill.Recipient) outbox.Result {
	result := outbox.Result{Verdict: outbox.VerdictSent, Outcome: c.app.storedOutcome(recipients)}
	var statuses []string
	for _, recipient := range recipients {
		statuses = append(statuses, labelFor(recipient.Status, audience.Statuses))
	}
	result.Reason = "now " + strings.Join(statuses, ", ")
	return result
}

// attempt makes the change after the earlier ones of the same person. A change that comes too late, after a later one,
// is not made: it might subscribe somebody who has withdrawn since. If it moves the person to another address, the
// former address is archived all the same: the later change does not know of it.
func (c change) attempt(ctx context.Context, entry outbox.Delivery, timeout time.Duration) outbox.Result {
	waits, late, err := c.app.outbox.Order(ctx, entry.Entry)
	switch {
	case err != nil:
		return outbox.Result{Verdict: outbox.VerdictRetry, Reason: "the outbox can't be read"}
	case waits:
		// The longer it waits, the less often it looks.
		again := min(max(time.Since(entry.Accepted)/4, time.Second), 30*time.Second)
		return outbox.Result{
			Verdict: outbox.VerdictWait, Reason: "an earlier change of the same person is not made yet", After: again,
		}
	case len(late) == 1 && len(entry.Recipients) == 2 && late[0] == entry.Recipients[0]:
		c.Change = &audience.Change{Archive: c.Archive}
	case len(late) > 0:
		return outbox.Result{Verdict: outbox.VerdictDiscarded, Reason: reasonLate}
	}
	if entry.Revived && time.Since(entry.Accepted) > c.app.keepFor() && c.StatusIfNew == "subscribed" {
		// A later change that withdrew the consent may be forgotten by now: the person is asked.
		c.StatusIfNew = "pending"
	}
	c.timeout = timeout
	recipients, err := c.send(ctx)
	if err != nil {
		return c.app.failure(err, entry.Content)
	}
	result := c.outcome(recipients)
	if len(late) > 0 {
		result.Reason = reasonLate + ", and the address before is " + result.Reason
	}
	return result
}

const reasonLate = "a later change of the same person is made already"

// changeFailure completes the result of a call that failed. A change whose outcome is unknown is made again, which does
// no harm.
func changeFailure(e *audience.Error, result outbox.Result) outbox.Result {
	result.After = e.RetryAfter
	switch e.Kind {
	case audience.Rejected:
		result.Verdict = outbox.VerdictRejected
	case audience.Refused:
		result.Verdict = outbox.VerdictDead
	case audience.Account:
		result.Verdict = outbox.VerdictHold
	}
	return result
}
