package mandrill

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"
)

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

// SameDomain reports whether two names are of one domain: case, a dot at the end, and Unicode or ASCII do not matter.
func SameDomain(a, b string) bool {
	normalA, errA := NormalizeDomain(a)
	normalB, errB := NormalizeDomain(b)
	return errA == nil && errB == nil && normalA == normalB
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
