package caddymodule

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

// Auth is one way for a call to prove itself.
type Auth struct {
	// "header", "cookie", "basic" or "off".
	Type string `json:"type,omitempty"`
	// The header's or the cookie's name, or the user of basic authentication.
	Name string `json:"name,omitempty"`
	// The header's or the cookie's value, or the password of basic authentication.
	Value string `json:"value,omitempty"`
}

// provisionReader sets up what reads hooks and lets them in.
func (h *Webhook) provisionReader() error {
	h.reader.MaxBody = h.MaxBody
	for _, auth := range h.Auth {
		if auth.Type == "off" {
			h.reader.Auth.Off()
			h.logger.Warn("auth is off: anybody who can reach this hook can use it in your name")
			continue
		}
		if !slices.Contains([]string{"header", "cookie", "basic"}, auth.Type) {
			return fmt.Errorf("auth: the type %q is none of header, cookie, basic and off", auth.Type)
		}
		option := "auth " + auth.Type
		name, err := directive.Expand(option, auth.Name)
		if err != nil {
			return err
		}
		value, err := directive.Expand(option, auth.Value)
		if err != nil {
			return err
		}
		switch auth.Type {
		case "header":
			err = h.reader.Auth.Header(name, value)
		case "cookie":
			err = h.reader.Auth.Cookie(name, value)
		case "basic":
			err = h.reader.Auth.Basic(name, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
	}
	return nil
}

func checkAuth(auths []Auth) error {
	if len(auths) > 1 && slices.ContainsFunc(auths, func(a Auth) bool { return a.Type == "off" }) {
		return errors.New("off contradicts the other auth lines: remove it or them")
	}
	return nil
}
