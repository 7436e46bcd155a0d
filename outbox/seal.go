package outbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the size of an outbox_key in bytes.
const KeySize = 32

// readPlain as the last key lets content be read that was stored without a key.
const readPlain = "none"

// NewKey makes a key for Settings.Keys.
func NewKey() string { return base64.StdEncoding.EncodeToString(randomBytes(KeySize)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// wrappingKeys are the outbox_keys: they wrap the outbox's own keys, and seal no content themselves. So rotating
// them changes no entry.
type wrappingKeys struct {
	keys []cipher.AEAD
	// plain lets content be read that is not sealed.
	plain bool
}

var errKey = fmt.Errorf("outbox_key must be %d random bytes in base64: `caddy mailchimp outbox key` makes one", KeySize)

func newWrappingKeys(secrets []string) (*wrappingKeys, error) {
	w := &wrappingKeys{plain: len(secrets) == 0}
	for i, secret := range secrets {
		if secret == readPlain && i > 0 && i == len(secrets)-1 {
			w.plain = true
			continue
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(secret))
		if err != nil || len(key) != KeySize {
			return nil, errKey
		}
		aead, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		w.keys = append(w.keys, aead)
	}
	return w, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// wrappedPrefix begins a setting that is wrapped. The others are in hexadecimal.
const wrappedPrefix = "wrapped:"

// wrap returns a key as it is stored under a name.
func (w *wrappingKeys) wrap(name string, key []byte) string {
	if len(w.keys) == 0 {
		return hex.EncodeToString(key)
	}
	return wrappedPrefix + base64.StdEncoding.EncodeToString(encrypt(w.keys[0], key, name))
}

var errWrapped = errors.New("none of the configured outbox_keys opens this outbox: " +
	"configure the one that it was written with")

// unwrap returns a key that is stored under a name. current is false if wrap would store it in another way.
func (w *wrappingKeys) unwrap(name, stored string) (key []byte, current bool, err error) {
	encoded, wrapped := strings.CutPrefix(stored, wrappedPrefix)
	if !wrapped {
		key, err = hex.DecodeString(stored)
		return key, len(w.keys) == 0, err
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, false, err
	}
	for i, aead := range w.keys {
		if key, ok := decrypt(aead, sealed, name); ok {
			return key, i == 0, nil
		}
	}
	return nil, false, errWrapped
}

func encrypt(aead cipher.AEAD, text []byte, bound string) []byte {
	nonce := randomBytes(aead.NonceSize())
	return aead.Seal(nonce, nonce, text, []byte(bound))
}

func decrypt(aead cipher.AEAD, sealed []byte, bound string) ([]byte, bool) {
	if len(sealed) < aead.NonceSize() {
		return nil, false
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(bound))
	return text, err == nil
}

// vault seals content with AES-256-GCM, bound to the ID of its entry.
type vault struct {
	// own seals, if it is set. All open.
	own  *dataKey
	keys []dataKey
	// plain lets content be read that is not sealed.
	plain bool
}

// dataKey is a random key that content is sealed with. Its id is stored with the content.
type dataKey struct {
	id   [4]byte
	aead cipher.AEAD
}

// The first byte of stored content.
const (
	plainContent  = 0
	sealedContent = 1
)

// noKeyOpens begins the reason why content cannot be opened that is sealed with a key that is not configured.
const noKeyOpens = "the content is sealed with a key that none of the configured outbox_keys opens"

var (
	errDamaged = errors.New("the content is damaged, or was not sealed for this entry")
	errPlain   = errors.New("the content was stored without an outbox_key: " +
		"add `none` as the last outbox_key to let it be read")
)

func (v *vault) seal(id string, content []byte) []byte {
	if v.own == nil {
		return append([]byte{plainContent}, content...)
	}
	head := append([]byte{sealedContent}, v.own.id[:]...)
	return append(head, encrypt(v.own.aead, content, id)...)
}

// open returns what was sealed, or nil if the content was wiped.
func (v *vault) open(id string, stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, nil
	case stored[0] == plainContent && v.plain:
		return stored[1:], nil
	case stored[0] == plainContent:
		return nil, errPlain
	case stored[0] != sealedContent || len(stored) < 5:
		return nil, errDamaged
	}
	for _, key := range v.keys {
		if !bytes.Equal(key.id[:], stored[1:5]) {
			continue
		}
		content, ok := decrypt(key.aead, stored[5:], id)
		if !ok {
			return nil, errDamaged
		}
		return content, nil
	}
	return nil, fmt.Errorf("%s (key id %x)", noKeyOpens, stored[1:5])
}
