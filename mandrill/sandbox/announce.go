package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// event is one of the events that Mandrill posts to a webhook.
type event struct {
	Event   string         `json:"event"`
	ID      string         `json:"_id"`
	Time    int64          `json:"ts"`
	Message map[string]any `json:"msg"`
}

// announce posts what became of mails to the webhooks, once for each recipient: of queued mails when they are sent, and
// of scheduled ones not at all.
func (s *Sandbox) announce(mails ...*Mail) {
	s.mu.Lock()
	posters := slices.Clone(s.posters)
	s.mu.Unlock()
	if len(posters) == 0 {
		return
	}
	for _, mail := range mails {
		for i, recipient := range mail.Recipients {
			state, reason := s.ending(mail, recipient)
			if state == "queued" || state == "scheduled" || !s.announceOnce(mail, i) {
				continue
			}
			for _, e := range s.eventsOf(mail, recipient, state, reason) {
				encoded, err := json.Marshal(e)
				if err != nil {
					continue // it came as JSON
				}
				for _, p := range posters {
					p.add(encoded)
				}
			}
		}
	}
}

// announceOnce reports whether nobody was told yet of what became of a mail for a recipient.
func (s *Sandbox) announceOnce(mail *Mail, recipient int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !mail.announced[recipient]
	mail.announced[recipient] = true
	return first
}

// announceReleased posts events of the mails that were queued and are sent now.
func (s *Sandbox) announceReleased() {
	mails := s.Mails()
	slices.Reverse(mails)
	s.announce(mails...)
}

// eventsOf returns the events of a mail to one recipient, in their order.
func (s *Sandbox) eventsOf(mail *Mail, recipient mandrill.Recipient, state, reason string) []event {
	var kinds []string
	local, isTest := strings.CutSuffix(strings.ToLower(recipient.Email), "@test.mandrillapp.com")
	switch {
	case recipient.Status == "invalid":
		return nil // Mandrill keeps no message of it
	case state == "rejected":
		kinds = []string{"reject"}
	case isTest && (local == "hard_bounce" || local == "soft_bounce"):
		kinds = []string{"send", local}
	case isTest && local == "spam":
		kinds = []string{"send", "delivered", "spam"}
	default:
		kinds = []string{"send", "delivered"}
	}
	events := make([]event, len(kinds))
	for i, kind := range kinds {
		message := s.infoOf(mail, recipient)
		delete(message, "opens_detail")
		delete(message, "clicks_detail")
		message["opens"], message["clicks"] = []any{}, []any{}
		switch kind {
		case "hard_bounce":
			message["state"], message["bounce_description"], message["bgtools_code"] = "bounced", "bad_mailbox", 10
			message["diag"] = "smtp;550 5.1.1 The email account that you tried to reach does not exist."
		case "soft_bounce":
			message["state"], message["bounce_description"], message["bgtools_code"] = "soft-bounced", "mailbox_full", 22
			message["diag"] = "smtp;552 5.2.2 Over Quota"
		case "spam":
			message["state"] = "spam"
		case "reject":
			message["reject"] = map[string]string{"reason": reason, "last_event_at": stamp(mail.Time)}
		default:
			message["state"] = "sent"
		}
		events[i] = event{kind, recipient.ID, time.Now().Unix(), message}
	}
	return events
}
