package mandrill

import (
	"errors"
	"fmt"
	"slices"
)

// Policy says from whom a message may come.
type Policy struct {
	domains []string
	// fromEmail and fromName are the sender of messages that name none.
	fromEmail, fromName string
}

// NewPolicy lets messages come from the domains, each one meant by itself without its subdomains.
// fromEmail is the sender of messages that name none, and fromName the name that goes with it;
// both may be empty.
func NewPolicy(domains []string, fromEmail, fromName string) (*Policy, error) {
	if len(domains) == 0 {
		return nil, errors.New("sender_domain: there is none")
	}
	p := &Policy{fromEmail: fromEmail, fromName: cleanHeader(fromName)}
	for _, domain := range domains {
		normal, err := NormalizeDomain(domain)
		if err != nil {
			return nil, fmt.Errorf("sender_domain: %w", err)
		}
		p.domains = append(p.domains, normal)
	}
	if fromEmail != "" {
		sender, domain, err := senderOf(fromEmail)
		if err != nil {
			return nil, fmt.Errorf("from: %w", withHint(err, "write the name behind the address"))
		}
		p.fromEmail = sender
		if !p.Allows(domain) {
			return nil, fmt.Errorf("from: its domain %s is not one of sender_domain", domain)
		}
	}
	return p, nil
}

// Domain is the first domain, normalized.
func (p *Policy) Domain() string { return p.domains[0] }

// Domains returns all domains.
func (p *Policy) Domains() []string { return slices.Clone(p.domains) }

// Allows reports whether a normalized domain is a sender domain.
func (p *Policy) Allows(domain string) bool {
	return slices.Contains(p.domains, domain)
}
