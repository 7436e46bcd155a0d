package sandbox

import (
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

type domainArguments struct {
	Domain  string `json:"domain"`
	Mailbox string `json:"mailbox"`
}

// addDomain adds a domain to the account, as a check of it does too, and returns its state.
func (s *Sandbox) addDomain(a domainArguments) (any, error) {
	if a.Domain == "" {
		return nil, invalidField("domain", "You must specify a domain")
	}
	s.rememberDomain(a.Domain)
	return domainState(a.Domain), nil
}

// rememberDomain adds a domain to the account, as each check and each message does.
func (s *Sandbox) rememberDomain(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	domain = strings.ToLower(domain)
	if domain != "" && len(s.domains) < maxMails && !slices.Contains(s.domains, domain) {
		s.domains = append(s.domains, domain)
	}
}

func (s *Sandbox) listDomains(none) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := []map[string]any{}
	for _, domain := range s.domains {
		states = append(states, domainState(domain))
	}
	return states, nil
}

// verifyDomain answers as if a mail with a link had been sent to the mailbox.
func (s *Sandbox) verifyDomain(a domainArguments) (any, error) {
	for field, value := range map[string]string{"domain": a.Domain, "mailbox": a.Mailbox} {
		if value == "" {
			return nil, invalidField(field, "Please enter a value")
		}
	}
	s.rememberDomain(a.Domain)
	status := "already_verified"
	if unverified(a.Domain) {
		status = "sent"
	}
	return map[string]string{"status": status, "domain": a.Domain, "email": a.Mailbox + "@" + a.Domain}, nil
}

func unverified(domain string) bool { return strings.HasSuffix(strings.ToLower(domain), ".invalid") }

// domainState says that a domain has all records, unless it is below .invalid. SPF is no longer asked for.
func domainState(domain string) map[string]any {
	state := map[string]any{
		"domain": domain, "created_at": since, "last_tested_at": since, "verify_txt_key": "sandbox-verification",
	}
	for field, name := range map[string]string{
		"spf": "SPF record is", "dkim": "DKIM record mte1._domainkey is", "dkim2": "DKIM record mte2._domainkey is",
		"dmarc": "DMARC record is",
	} {
		record := map[string]any{"valid": true, "valid_after": since}
		if unverified(domain) {
			record = map[string]any{"valid": false, "error": "The " + name + " missing."}
		}
		if field == "dmarc" {
			delete(record, "valid_after")
		}
		state[field] = record
	}
	state["valid_signing"] = !unverified(domain)
	if !unverified(domain) {
		state["verified_at"] = since
	}
	return state
}

// listSenders returns the addresses that mails came from.
func (s *Sandbox) listSenders(none) (any, error) {
	senders := []map[string]any{}
	of := make(map[string]map[string]any)
	mails := s.Mails()
	for _, mail := range slices.Backward(mails) {
		address := strings.ToLower(mail.Message.FromEmail)
		if address == "" {
			continue
		}
		sender := of[address]
		if sender == nil {
			sender = map[string]any{
				"address": address, "created_at": stamp(mail.Time), "sent": 0, "hard_bounces": 0, "soft_bounces": 0, "rejects": 0,
				"complaints": 0, "unsubs": 0, "opens": 0, "clicks": 0, "unique_opens": 0, "unique_clicks": 0,
			}
			of[address], senders = sender, append(senders, sender)
		}
		for _, recipient := range mail.Recipients {
			field := "sent"
			if recipient.Refusal() != mandrill.NotRefused {
				field = "rejects"
			}
			sender[field] = sender[field].(int) + 1
		}
	}
	return senders, nil
}
