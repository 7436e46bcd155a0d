package audience

import (
	"crypto/md5"
	"encoding/hex"
	"net/mail"
	"strings"
)

// isAddress reports whether a text is an address without a name.
func isAddress(address string) bool {
	parsed, err := mail.ParseAddress(address)
	return err == nil && parsed.Name == "" && parsed.Address == address && !strings.ContainsAny(address, "\r\n\x00")
}

// hash returns the name of an address in the API: the MD5 sum of its lower case, which is that of Unicode.
func hash(address string) string {
	digest := md5.Sum([]byte(strings.ToLower(address)))
	return hex.EncodeToString(digest[:])
}
