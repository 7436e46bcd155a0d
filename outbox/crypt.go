package outbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// vault seals content at rest with AES-256-GCM. The first key writes, all of them read. Without keys,
// content is stored as it is.
type vault struct{ keys []vaultKey }

type vaultKey struct {
	// id is the first bytes of a digest of the key.
	id   [4]byte
	aead cipher.AEAD
}

const (
	plain  = 0
	sealed = 1
)

var errDamaged = errors.New("the content is damaged")

func newVault(secrets []string) (*vault, error) {
	v := new(vault)
	for _, secret := range secrets {
		if secret == "" {
			return nil, errors.New("outbox_key is empty")
		}
		key := sha256.Sum256([]byte("outbox content " + secret))
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(key[:])
		v.keys = append(v.keys, vaultKey{[4]byte(digest[:4]), aead})
	}
	return v, nil
}

func (v *vault) seal(content []byte) []byte {
	if len(v.keys) == 0 {
		return append([]byte{plain}, content...)
	}
	key := v.keys[0]
	nonce := make([]byte, key.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	head := append(append([]byte{sealed}, key.id[:]...), nonce...)
	return key.aead.Seal(head, nonce, content, key.id[:])
}

// open returns what was sealed, or nil where the content was wiped.
func (v *vault) open(stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, nil
	case stored[0] == plain:
		return stored[1:], nil
	case stored[0] != sealed || len(stored) < 5:
		return nil, errors.New("the content is stored in a way that this version doesn't know")
	}
	for _, key := range v.keys {
		if !bytes.Equal(key.id[:], stored[1:5]) {
			continue
		}
		rest := stored[5:]
		if len(rest) < key.aead.NonceSize() {
			return nil, errDamaged
		}
		content, err := key.aead.Open(nil, rest[:key.aead.NonceSize()], rest[key.aead.NonceSize():], key.id[:])
		if err != nil {
			return nil, errDamaged
		}
		return content, nil
	}
	return nil, fmt.Errorf("the content is sealed with an outbox_key that isn't configured (key id %x)", stored[1:5])
}
