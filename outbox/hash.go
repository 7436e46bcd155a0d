package outbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// hash is a recipient as it is stored: the same address has the same hash in this database alone.
func (s *store) hash(address string) string { return hashWith(s.hashKey, address) }

// hashes are what a recipient may be stored as: entries that were moved here bring the key of their hashes.
// What is a hash already is left as it is.
func (s *store) hashes(ctx context.Context, recipient string) ([]string, error) {
	if IsHash(recipient) {
		return []string{recipient}, nil
	}
	rows, err := s.run().QueryContext(ctx, "SELECT value FROM outbox_setting WHERE name LIKE 'hash_key%'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var hashes []string
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		key, err := hex.DecodeString(value)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hashWith(key, recipient))
	}
	return hashes, rows.Err()
}

var hashPattern = regexp.MustCompile(`^r-[0-9a-f]{32}$`)

// IsHash tells whether a text is a recipient as it is stored, and no address.
func IsHash(text string) bool { return hashPattern.MatchString(text) }

func hashWith(key []byte, address string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.ToLower(address)))
	return "r-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// tags are the hashes of recipients.
func (s *store) tags(recipients []string) []string {
	var tags []string
	for _, recipient := range recipients {
		tags = append(tags, s.hash(recipient))
	}
	return tags
}
