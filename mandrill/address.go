package mandrill

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"
)

// lookup is how domains are compared. Hyphens are allowed everywhere, as in the DNS.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false))

// NormalizeDomain returns a domain in lower case and with its labels in ASCII (A-labels), the form in which domains are
// compared and sent.
func NormalizeDomain(domain string) (string, error) {
	normal, err := lookup.ToASCII(strings.TrimSuffix(domain, "."))
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

// Errors of addresses. They don't repeat the address.
var (
	errNotAddress = errors.New("must be an e-mail address such as hello@example.com")
	errHasName    = errors.New("must be an e-mail address without a name: ")
)

// checkAddress accepts what Ory accepts: whether such an address exists is Mandrill's to say. The local part and the
// domain may be in Unicode.
func checkAddress(address string) error {
	if strings.ContainsAny(address, "\r\n\x00") {
		return errNotAddress
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil {
		return errNotAddress
	}
	quoted := strings.Trim((&mail.Address{Address: parsed.Address}).String(), "<>")
	if address != parsed.Address && address != quoted { // it has a name, angle brackets or a comment
		return errHasName
	}
	return nil
}

// senderOf returns the address of a sender with its domain normalized, and the domain.
func senderOf(address string) (sender, domain string, err error) {
	if err := checkAddress(address); err != nil {
		return "", "", err
	}
	local := address[:strings.LastIndexByte(address, '@')]
	domain, err = NormalizeDomain(address[len(local)+1:])
	if err != nil {
		return "", "", errNotAddress
	}
	return local + "@" + domain, domain, nil
}
