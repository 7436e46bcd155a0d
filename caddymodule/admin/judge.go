package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// manyFailures is how many attempts of a sender fail in a row before that is a trouble.
const manyFailures = 3

// judgeSenders lists the senders that send nothing, or not all.
func (s *Status) judgeSenders() {
	for _, hold := range s.InForce {
		s.judgeHold(hold)
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Sealed)) {
		s.trouble(sender, "%s of %s can't be opened for lack of a key: "+
			"configure the outbox_key that they were stored with, or none as the last one if it was none",
			Entries(s.Sealed[sender]), sender)
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Unknown)) {
		if list, ok := strings.CutPrefix(sender, caddymodule.ListPrefix); ok {
			s.trouble(sender, "%s without an account: no mailchimp_audience names list %s",
				Entries(s.Unknown[sender]), list)
			continue
		}
		s.trouble(sender, "%s without an account: no hook and no global option names sender_domain %s",
			Entries(s.Unknown[sender]), sender)
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Failing)) {
		if failing := s.Failing[sender]; failing.Attempts >= manyFailures {
			s.trouble(sender, "the last %d attempts of %s failed: %s", failing.Attempts, sender, failing.Reason)
		}
	}
	for _, sender := range slices.Sorted(maps.Keys(s.Refused)) {
		refused := s.Refused[sender]
		s.trouble(sender, "the last %d answers for %s were all refusals: %s", refused.Attempts, sender, refused.Reason)
	}
}

// judgeHold lists a hold or a pause. One of a key or a sub-account that is not configured any more keeps nothing back.
func (s *Status) judgeHold(h outbox.Hold) {
	whose := strings.Join(h.Senders, ", ")
	text := ""
	switch h.Scope {
	case outbox.ScopePause:
		text = fmt.Sprintf("%s is paused: caddy mailchimp outbox resume %[1]s", h.Target)
	case outbox.ScopePauseTemplate:
		text = fmt.Sprintf("template %s is paused: caddy mailchimp outbox resume --template %[1]s", h.Target)
	case outbox.ScopeSubaccount:
		_, subaccount, _ := strings.Cut(h.Target, "/")
		text = fmt.Sprintf("sub-account %s of %s", subaccount, whose) + heldSince(h, "sub-account")
	case outbox.ScopeKey:
		text = whose + heldSince(h, "API key")
	case outbox.ScopeDomain:
		text = whose + heldSince(h, "sender domain")
	}
	switch {
	case len(h.Senders) > 0:
		s.Troubles = append(s.Troubles, text)
		s.stop(h.Senders)
	case h.Scope == outbox.ScopePauseTemplate:
		s.Troubles = append(s.Troubles, text)
	}
}

// heldSince says since when and why something is held, what exactly, and what comes next.
func heldSince(h outbox.Hold, what string) string {
	verb := "is"
	if len(h.Senders) > 1 && h.Scope == outbox.ScopeKey {
		verb = "are"
	}
	text := fmt.Sprintf(" %s held since %s: %s (the %s", verb, h.Since.UTC().Format(time.RFC3339), h.Reason, what)
	if h.Entry != "" {
		text += "; first met by entry " + h.Entry
	}
	switch {
	case h.Probe.IsZero():
	case time.Since(h.Probe) > probeIsLate:
		text += "; nothing waits, and the next mail tries it"
	default:
		text += "; next try at " + h.Probe.UTC().Format(time.RFC3339)
	}
	return text + ")"
}

// probeIsLate is the age of a due probe from which on no entry can be waiting for it.
const probeIsLate = 2 * time.Minute

// trouble adds a trouble of one sender.
func (s *Status) trouble(sender, format string, arguments ...any) {
	s.Troubles = append(s.Troubles, fmt.Sprintf(format, arguments...))
	s.stop([]string{sender})
}

// troubleAll adds a trouble that stops all senders.
func (s *Status) troubleAll(text string) {
	s.Troubles = append(s.Troubles, text)
	s.stop(s.Senders)
}

func (s *Status) stop(senders []string) {
	for _, sender := range senders {
		if !slices.Contains(s.Stopped, sender) {
			s.Stopped = append(s.Stopped, sender)
		}
	}
}

// Entries returns a number of entries in words.
func Entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// listAttention lists what waits for the operator while mail flows.
func (s *Status) listAttention() {
	for _, what := range []struct {
		state  outbox.State
		remedy string
	}{
		{outbox.Retrying, "see caddy mailchimp outbox list --state retrying"},
		{outbox.Dead, "see caddy mailchimp outbox list --state dead, then retry or discard"},
		{outbox.Unrendered, "fix the template, then caddy mailchimp outbox retry --state unrendered"},
	} {
		if n := s.Counts[what.state]; n > 0 {
			s.Attention = append(s.Attention, fmt.Sprintf("%s: %s: %s", what.state, Entries(n), what.remedy))
		}
	}
	if len(s.Alone) > 0 {
		s.Attention = append(s.Attention, fmt.Sprintf("refused alone, while other mail of the key is accepted: %s: "+
			"see caddy mailchimp outbox show %s", Entries(len(s.Alone)), s.Alone[0]))
	}
	for _, r := range s.Rejected {
		s.Attention = append(s.Attention,
			fmt.Sprintf("rejected within the last hour: %s of %s: %s", Entries(r.Entries), r.Sender, r.Reason))
	}
	if e := s.Events; e != nil && e.LastRefused.After(e.LastHeard) {
		s.Attention = append(s.Attention, fmt.Sprintf(
			"mailchimp_events refused %d calls and has received no event since; the last one, at %s: %s",
			e.Refused, e.LastRefused.UTC().Format(time.RFC3339), e.Text))
	}
	if len(s.Unindexed) > 0 {
		s.Attention = append(s.Attention, fmt.Sprintf("search does not find the mails of %s, because the account has no "+
			"index of the metadata field outbox_entry: if an answer of Mandrill's is lost, a mail may be sent twice. "+
			"To make the index: caddy mailchimp setup --yes", strings.Join(s.Unindexed, ", ")))
	}
	for _, hook := range s.Hooks {
		if hook.Unsearchable > 0 {
			s.Attention = append(s.Attention, fmt.Sprintf("%s: %d of its mails: %s",
				hook.Template, hook.Unsearchable, caddymodule.NoRoom))
		}
	}
	for _, template := range s.Templates {
		if template.Error != "" {
			s.Attention = append(s.Attention,
				fmt.Sprintf("template %s is broken, its last good version is in force", template.Template))
		}
	}
}
