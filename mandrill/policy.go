package mandrill

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"golang.org/x/net/idna"
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
		domain, err := domainOf(fromEmail)
		if err != nil {
			return nil, fmt.Errorf("from: %w", err)
		}
		if !p.Allows(domain) {
			return nil, fmt.Errorf("from: its domain %s is not one of sender_domain", domain)
		}
	}
	return p, nil
}

// Domain is the first domain, normalized.
func (p *Policy) Domain() string { return p.domains[0] }

// NormalizeDomain returns a domain in lower case and with its labels in ASCII (A-labels), the form
// in which domains are compared.
func NormalizeDomain(domain string) (string, error) {
	normal, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || normal == "" || len(normal) > 253 || strings.Contains(normal, "..") ||
		strings.HasPrefix(normal, ".") {
		return "", fmt.Errorf("%q is not a domain such as example.com", domain)
	}
	return strings.ToLower(normal), nil
}

// Allows tells whether a normalized domain is a sender domain.
func (p *Policy) Allows(domain string) bool {
	return slices.Contains(p.domains, domain)
}

var errNotAddress = errors.New("must be an e-mail address such as hello@example.com, without a name")

// domainOf returns the normalized domain of an address. Its local part and its domain may be in
// Unicode. Errors don't repeat the address.
func domainOf(address string) (string, error) {
	if strings.ContainsAny(address, "\r\n\x00") {
		return "", errNotAddress
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Name != "" || parsed.Address != address {
		return "", errNotAddress
	}
	domain, err := NormalizeDomain(address[strings.LastIndexByte(address, '@')+1:])
	if err != nil {
		return "", errNotAddress
	}
	return domain, nil
}

// headerCleaner keeps a string from beginning a header of its own.
var headerCleaner = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

func cleanHeader(s string) string { return headerCleaner.Replace(s) }
