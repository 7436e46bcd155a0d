package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

var hashPattern = regexp.MustCompile(`^r-[0-9a-f]{32}$`)

// IsHash reports whether a text is a recipient as it is stored, and no address.
func IsHash(text string) bool { return hashPattern.MatchString(text) }

// hashRecipient returns a recipient as it is stored: the same address has the same hash in this outbox alone.
func hashRecipient(key []byte, address string) string {
	return "r-" + hex.EncodeToString(keyed(key, strings.ToLower(address))[:16])
}

// hashAccount returns an account as a hold names it.
func hashAccount(key []byte, account string) string {
	return hex.EncodeToString(keyed(key, "account "+account)[:8])
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
