package ory

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Auth says which calls are let in: those that carry any one of its credentials. The zero value
// lets nobody in.
type Auth struct {
	off         bool
	basic       bool
	credentials []credential
}

// credential compares digests, so that neither a secret's value nor its length can be told from
// the time that a comparison takes.
type credential struct {
	digest [sha256.Size]byte
	// offered returns what a request carries in the credential's place.
	offered func(*http.Request) []string
}

// Header lets calls in whose header has the value. A header that comes several times may have it
// in any of them.
func (a *Auth) Header(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not a header's name", name)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if name == "Host" {
		return errors.New("the Host header is no secret: choose another one")
	}
	if err := checkSecret(value); err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("the value has a character that no header can carry")
	}
	a.add(value, func(r *http.Request) []string { return r.Header[name] })
	return nil
}

// Cookie lets calls in that carry the cookie with the value.
func (a *Auth) Cookie(name, value string) error {
	if err := checkSecret(value); err != nil {
		return err
	}
	if err := (&http.Cookie{Name: name, Value: value}).Valid(); err != nil {
		return errors.New("the name or the value has a character that no cookie can carry")
	}
	a.add(value, func(r *http.Request) []string {
		var values []string
		for _, c := range r.CookiesNamed(name) {
			values = append(values, c.Value)
		}
		return values
	})
	return nil
}

// Basic lets calls in that carry the user and the password by HTTP basic authentication.
func (a *Auth) Basic(user, password string) error {
	if user == "" || strings.Contains(user, ":") {
		return errors.New("the user must not be empty and must not have a colon")
	}
	if err := checkSecret(password); err != nil {
		return err
	}
	a.basic = true
	a.add(user+":"+password, func(r *http.Request) []string {
		u, p, ok := r.BasicAuth()
		if !ok {
			return nil
		}
		return []string{u + ":" + p}
	})
	return nil
}

// Off lets every call in.
func (a *Auth) Off() { a.off = true }

// Allows reports whether a request is let in.
func (a *Auth) Allows(r *http.Request) bool {
	allowed := 0
	for _, c := range a.credentials {
		for _, value := range c.offered(r) {
			digest := sha256.Sum256([]byte(value))
			allowed |= subtle.ConstantTimeCompare(digest[:], c.digest[:])
		}
	}
	return a.off || allowed == 1
}

func (a *Auth) add(value string, offered func(*http.Request) []string) {
	a.credentials = append(a.credentials, credential{sha256.Sum256([]byte(value)), offered})
}

func checkSecret(value string) error {
	if value == "" {
		return errors.New("the secret is empty")
	}
	if strings.TrimSpace(value) != value {
		return errors.New("the secret begins or ends with white space, which does not survive the way: remove it")
	}
	return nil
}
