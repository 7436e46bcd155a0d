package mandrill_test

import (
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

func TestIsSignature(t *testing.T) {
	good := mandrill.Signature("key", "https://hooks.example.com", nil)
	for text, want := range map[string]bool{
		good:                                 true,
		"":                                   false,
		strings.TrimSuffix(good, "="):        false,
		strings.Repeat("A", 28):              false,
		strings.Repeat("A", 26) + "==":       false,
		strings.Repeat("A", 26) + "B=":       false, // bits that belong to no byte
		"-_" + strings.Repeat("A", 25) + "=": false,
		"\n" + good:                          false,
		good[:10] + "\n" + good[11:]:         false,
		base64.StdEncoding.EncodeToString(make([]byte, sha1.Size+1)): false,
	} {
		if got := mandrill.IsSignature(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestFormFields bounds their number: each takes more than it has bytes.
func TestFormFields(t *testing.T) {
	if form, err := mandrill.ParseForm([]byte(strings.Repeat("&a", 100))); err != nil || len(form) != 100 {
		t.Errorf("%d fields, %v", len(form), err)
	}
	if _, err := mandrill.ParseForm([]byte(strings.Repeat("&a", 101))); err == nil {
		t.Error("101 fields are accepted")
	}
}

// FuzzForm compares with the form that net/url reads.
func FuzzForm(f *testing.F) {
	for _, body := range []string{
		"", "&&", "a", "a=", "=a", "a=1&a=2&b=%5B%5d+x", "b=1&a=%41&%61=2", "a=%", "a=%4", "a=%4g", "a;b", "a=%3b", "a=b=c&=",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wrong := url.ParseQuery(string(body))
		form, err := mandrill.ParseForm([]byte(string(body)))
		if err != nil && len(want) >= 100 {
			return
		}
		if (err != nil) != (wrong != nil) {
			t.Fatalf("%v, and net/url says %v", err, wrong)
		}
		if err != nil {
			return
		}
		const key, address = "key", "https://hooks.example.com/mandrill"
		if form.SignedBy([]string{key}, mandrill.Signature(key, address, want), address) != 0 {
			t.Errorf("another signature than that of %q", want)
		}
		for name := range want {
			if got := string(form.Get(name)); got != want.Get(name) {
				t.Errorf("%q is %q", name, got)
			}
		}
	})
}
