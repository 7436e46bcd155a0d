package outbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
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
	keys, err := s.hashKeys(ctx)
	if err != nil {
		return nil, err
	}
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = hashWith(key, recipient)
	}
	return hashes, nil
}

// hashKeys are this database's key and those that came with moved entries.
func (s *store) hashKeys(ctx context.Context) ([][]byte, error) {
	rows, err := s.run().QueryContext(ctx, "SELECT value FROM outbox_setting WHERE name LIKE 'hash_key%'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys [][]byte
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		key, err := hex.DecodeString(value)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// ID tells this outbox from others of the same account.
func (o *Outbox) ID() string { return idOf(o.store.hashKey) }

// Took tells whether an ID is this outbox's, or that of one whose entries were moved here.
func (o *Outbox) Took(ctx context.Context, id string) bool {
	if id == o.ID() {
		return true
	}
	keys, err := o.store.hashKeys(ctx)
	return err == nil && slices.ContainsFunc(keys, func(key []byte) bool { return idOf(key) == id })
}

func idOf(hashKey []byte) string { return hex.EncodeToString(hashKey[:4]) }

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
