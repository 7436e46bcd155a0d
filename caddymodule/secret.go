package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

// secret is a configured value that a file may give, and that is followed: when the file changes, its value does.
type secret struct {
	// option names the directive, and text is the value as the configuration has it, with its placeholders.
	option, text string
	// files are the placeholders of files in text. Without one, the value stays as it is.
	files   []string
	inForce atomic.Pointer[string]

	// The rest belongs to the goroutine that follows secrets.

	// found is what the last look found, and steady reports whether the look before it found the same: a file that
	// is only half written is not taken.
	found  look
	steady bool
	// trouble is why what was found is not in force.
	trouble string
}

// look is what a secret expands to, or why it cannot be expanded.
type look struct{ value, failure string }

// newSecret expands a value.
func newSecret(option, text string) (*secret, error) {
	value, err := directive.Expand(option, text)
	if err != nil {
		return nil, err
	}
	s := &secret{option: option, text: text, files: directive.Files(text), found: look{value: value}}
	s.inForce.Store(&value)
	return s, nil
}

func newSecrets(option string, texts []string) ([]*secret, error) {
	secrets := make([]*secret, len(texts))
	for i, text := range texts {
		var err error
		if secrets[i], err = newSecret(directive.Numbered(option, i, texts), text); err != nil {
			return nil, err
		}
		secrets[i].option = option
	}
	return secrets, nil
}

// value returns the value in force. A secret that is not configured has none.
func (s *secret) value() string {
	if s == nil {
		return ""
	}
	return *s.inForce.Load()
}

func valuesOf(secrets []*secret) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = s.value()
	}
	return values
}

// look expands the secret again.
func (s *secret) look(files *directive.Snapshot) {
	var now look
	value, err := files.Expand(s.text)
	if err != nil {
		now.failure = err.Error()
	} else {
		now.value = value
	}
	s.steady, s.found = now == s.found, now
	if s.steady {
		s.trouble = ""
		if now.failure != "" {
			s.trouble = s.option + ": " + now.failure + keptInForce
		}
	}
}

const keptInForce = ": the value before stays in force"

// wanted returns the value that should be in force. It differs from that in force if a file has changed.
func (s *secret) wanted() string {
	if !s.steady || s.found.failure != "" {
		return s.value()
	}
	return s.found.value
}

func (s *secret) changed() bool { return s.wanted() != s.value() }

// refuse leaves the value in force, because what was found cannot be used. The error must not repeat it.
func (s *secret) refuse(err error) {
	reason := strings.TrimPrefix(err.Error(), s.option+": ")
	s.trouble = fmt.Sprintf("%s: the new value of %s is refused: %s%s",
		s.option, strings.Join(s.files, " and "), reason, keptInForce)
}

// take puts the value that was found in force.
func (s *secret) take() {
	value := s.wanted()
	s.inForce.Store(&value)
}

// errNotInCharge means that the outbox has the settings of another configuration at the moment: try again.
var errNotInCharge = errors.New("another configuration is in charge of the outbox")

// group are secrets that are used together.
type group struct {
	secrets []*secret
	// use has the wanted values used. It changes nothing if it returns an error.
	use func(ctx context.Context) error
}

// follow puts changed values in force, unless they cannot be used.
func (g *group) follow(ctx context.Context) (taken []*secret) {
	for _, s := range g.secrets {
		if s.changed() {
			taken = append(taken, s)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	err := g.use(ctx)
	switch {
	case err == nil:
		for _, s := range taken {
			s.take()
		}
		return taken
	case errors.Is(err, errNotInCharge), ctx.Err() != nil:
		return nil
	}
	for _, s := range taken {
		s.refuse(err)
	}
	return nil
}

// isFollowed reports whether a file may change one of the secrets.
func isFollowed(secrets []*secret) bool {
	return slices.ContainsFunc(secrets, func(s *secret) bool { return len(s.files) > 0 })
}

// wantedOf returns the values that should be in force.
func wantedOf(secrets []*secret) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = s.wanted()
	}
	return values
}
