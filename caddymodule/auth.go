package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
)

// Auth is one way for a call to prove itself.
type Auth struct {
	// "header", "cookie", "basic" or "off".
	Type string `json:"type,omitempty"`
	// The header's or the cookie's name, or the user of basic authentication.
	Name string `json:"name,omitempty"`
	// The header's or the cookie's value, or the password of basic authentication. If the file of a placeholder
	// such as {file./run/secrets/hook_key} changes, the old value is accepted for one more minute.
	Value string `json:"value,omitempty"`
}

// retiredFor is how long the old value of an auth line is accepted after it has changed. Tests shorten it.
var retiredFor = time.Minute

// hookMemory is what all hooks of the process may hold, over reloads.
var hookMemory = ory.NewMemory(128 << 20)

// authorizer lets calls of one hook in.
type authorizer struct {
	// reader has what is accepted now.
	reader  atomic.Pointer[ory.Reader]
	maxBody int64
	off     bool
	lines   []*authLine
	retired []credential
}

// authLine is what one auth line configures.
type authLine struct {
	kind        string
	name, value *secret
}

// credential is what an auth line stands for.
type credential struct {
	kind, name, value string
	// until is when a retired one ends.
	until time.Time
}

func (l *authLine) inForce() credential {
	return credential{kind: l.kind, name: l.name.value(), value: l.value.value()}
}

// addTo has calls with the credential let in.
func (c credential) addTo(auth *ory.Auth) error {
	switch c.kind {
	case "header":
		return auth.Header(c.name, c.value)
	case "cookie":
		return auth.Cookie(c.name, c.value)
	default:
		return auth.Basic(c.name, c.value)
	}
}

// provisionAuth sets up what reads hooks and lets them in.
func (h *Webhook) provisionAuth() error {
	h.auth = &authorizer{maxBody: h.MaxBody}
	for _, auth := range h.Auth {
		if auth.Type == "off" {
			h.auth.off = true
			h.logger.Warn("auth is off: anybody who can reach this hook can use it in your name")
			continue
		}
		if !slices.Contains([]string{"header", "cookie", "basic"}, auth.Type) {
			return fmt.Errorf("auth: the type %q is none of header, cookie, basic and off", auth.Type)
		}
		line := &authLine{kind: auth.Type}
		option := "auth " + auth.Type
		var err error
		if line.name, err = newSecret(option, auth.Name); err != nil {
			return err
		}
		if line.value, err = newSecret(option, auth.Value); err != nil {
			return err
		}
		if err := line.inForce().addTo(new(ory.Auth)); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		h.auth.lines = append(h.auth.lines, line)
		h.app.addFollower(h.auth, line.name, line.value)
	}
	h.auth.apply()
	return nil
}

// apply has calls let in by what is in force, and by what was until a moment ago.
func (a *authorizer) apply() {
	reader := &ory.Reader{MaxBody: a.maxBody, Memory: hookMemory}
	if a.off {
		reader.Auth.Off()
	}
	accepted := slices.Clone(a.retired)
	for _, line := range a.lines {
		accepted = append(accepted, line.inForce())
	}
	for _, c := range accepted {
		_ = c.addTo(&reader.Auth) // each was tried before it came into force
	}
	a.reader.Store(reader)
}

// follow implements follower.
func (a *authorizer) follow(ctx context.Context) (taken []*secret) {
	now := time.Now()
	known := len(a.retired)
	a.retired = slices.DeleteFunc(a.retired, func(c credential) bool { return now.After(c.until) })
	expired := len(a.retired) < known
	for _, line := range a.lines {
		before := line.inForce()
		before.until = now.Add(retiredFor)
		g := &group{secrets: []*secret{line.name, line.value}, use: func(context.Context) error {
			return credential{kind: line.kind, name: line.name.wanted(), value: line.value.wanted()}.addTo(new(ory.Auth))
		}}
		if changed := g.follow(ctx); len(changed) > 0 {
			a.retired = append(a.retired, before)
			taken = append(taken, changed...)
		}
	}
	if expired || len(taken) > 0 {
		a.apply()
	}
	return taken
}

func checkAuth(auths []Auth) error {
	if len(auths) > 1 && slices.ContainsFunc(auths, func(a Auth) bool { return a.Type == "off" }) {
		return errors.New("off contradicts the other auth lines: remove it or them")
	}
	return nil
}
