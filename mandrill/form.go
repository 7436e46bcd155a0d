package mandrill

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
)

// TestWebhookKey signs the call without events by which Mandrill tries a webhook that is being set up.
const TestWebhookKey = "test-webhook"

// maxFields is far more than the one field that Mandrill posts.
const maxFields = 100

var errNoForm = errors.New("reading the form: it is not encoded as one")

// Form is a form that Mandrill posts to a webhook, with its fields sorted by name.
type Form []formField

type formField struct{ name, value []byte }

// ParseForm decodes the body of a form in place, because it may be large: the form's fields are parts of the body.
func ParseForm(body []byte) (Form, error) {
	var form Form
	for field := range bytes.SplitSeq(body, []byte("&")) {
		if len(field) == 0 {
			continue
		}
		if len(form) == maxFields {
			return nil, errors.New("reading the form: it has too many fields")
		}
		if bytes.Contains(field, []byte(";")) {
			return nil, errNoForm
		}
		name, value, _ := bytes.Cut(field, []byte("="))
		name, validName := unescape(name)
		value, validValue := unescape(value)
		if !validName || !validValue {
			return nil, errNoForm
		}
		form = append(form, formField{name, value})
	}
	form.sort()
	return form, nil
}

// unescape decodes a name or a value in place.
func unescape(text []byte) (decoded []byte, valid bool) {
	decoded = text[:0]
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			var char [1]byte
			if i+2 >= len(text) {
				return nil, false
			}
			if _, err := hex.Decode(char[:], text[i+1:i+3]); err != nil {
				return nil, false
			}
			c, i = char[0], i+2
		}
		decoded = append(decoded, c)
	}
	return decoded, true
}

func (f Form) sort() {
	slices.SortStableFunc(f, func(a, b formField) int { return bytes.Compare(a.name, b.name) })
}

// Get returns the first value of a field, or nil.
func (f Form) Get(name string) []byte {
	for _, field := range f {
		if string(field.name) == name {
			return field.value
		}
	}
	return nil
}

// SignedBy returns which of the keys made the signature of a form that was posted to an address, or -1.
func (f Form) SignedBy(keys []string, signature, address string) int {
	found := -1
	for i, key := range keys {
		if hmac.Equal([]byte(signature), []byte(f.signature(key, address))) {
			found = i
		}
	}
	return found
}

func (f Form) signature(key, address string) string {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(address))
	for _, field := range f {
		mac.Write(field.name)
		mac.Write(field.value)
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Signature returns what Mandrill sends in X-Mandrill-Signature with a form that it posts to an address.
func Signature(key, address string, form url.Values) string {
	var fields Form
	for name, values := range form {
		for _, value := range values {
			fields = append(fields, formField{[]byte(name), []byte(value)})
		}
	}
	fields.sort()
	return fields.signature(key, address)
}

// IsSignature reports whether a text has the form of a signature, whichever key made it.
func IsSignature(text string) bool {
	mac, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(mac) == sha1.Size && len(text) == base64.StdEncoding.EncodedLen(sha1.Size)
}
