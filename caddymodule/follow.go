package caddymodule

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
)

// secretInterval is how often files of secrets are read. A change takes effect at the second look that finds it. Tests
// shorten it.
var secretInterval = time.Second

// follower is what a change of secrets concerns.
type follower interface {
	// follow puts changed values in force, or refuses them. It returns those that are now in force.
	follow(ctx context.Context) []*secret
}

// followedSecrets are the secrets of a configuration.
type followedSecrets struct {
	mu sync.Mutex
	// secrets are those that files give.
	secrets   []*secret
	followers []follower
	// troubles say which secrets have a new value that is not in force.
	troubles []string
}

// addFollower has secrets followed while the app runs, if files give any of them.
func (a *App) addFollower(f follower, secrets ...*secret) {
	if !isFollowed(secrets) {
		return
	}
	a.followed.mu.Lock()
	defer a.followed.mu.Unlock()
	for _, s := range secrets {
		if len(s.files) > 0 && !slices.Contains(a.followed.secrets, s) {
			a.followed.secrets = append(a.followed.secrets, s)
			warnOfReadable(a.logger, s.option, s.text)
		}
	}
	if !slices.Contains(a.followed.followers, f) {
		a.followed.followers = append(a.followed.followers, f)
	}
}

// warnOfReadable warns of files of secrets that every user of the machine can read.
func warnOfReadable(logger *zap.Logger, option, text string) {
	for _, placeholder := range directive.ReadableByAll(text) {
		logger.Warn("every user of this machine can read the file of a secret: take the permission from others (chmod o-r)",
			zap.String("directive", option), zap.String("placeholder", placeholder))
	}
}

// SecretTroubles says which secrets have a new value that is not in force. It names directives and placeholders.
func (a *App) SecretTroubles() []string {
	a.followed.mu.Lock()
	defer a.followed.mu.Unlock()
	return slices.Clone(a.followed.troubles)
}

// followSecrets reads the files of secrets again and again, until ctx is done.
func (a *App) followSecrets(ctx context.Context) {
	if len(a.followed.secrets) == 0 {
		return
	}
	ticker := time.NewTicker(secretInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.lookAtSecrets(ctx)
		}
	}
}

// lookAtSecrets puts what has changed in force.
func (a *App) lookAtSecrets(ctx context.Context) {
	defer func() {
		if failure := recover(); failure != nil {
			// The failure itself may have a secret in it.
			a.logger.Error("following secrets crashed",
				zap.String("kind", fmt.Sprintf("%T", failure)), zap.String("stack", string(debug.Stack())))
		}
	}()
	files := new(directive.Snapshot)
	for _, s := range a.followed.secrets {
		s.look(files)
	}
	for _, f := range a.followed.followers {
		for _, s := range f.follow(ctx) {
			a.logger.Info("secret changed",
				zap.String("directive", s.option), zap.String("placeholder", strings.Join(s.files, " ")))
		}
	}
	if ctx.Err() == nil {
		a.noteTroubles()
	}
}

// noteTroubles logs each trouble once.
func (a *App) noteTroubles() {
	var troubles []string
	for _, s := range a.followed.secrets {
		if s.trouble != "" {
			troubles = append(troubles, s.trouble)
		}
	}
	slices.Sort(troubles)
	troubles = slices.Compact(troubles)
	a.followed.mu.Lock()
	before := a.followed.troubles
	a.followed.troubles = troubles
	a.followed.mu.Unlock()
	for _, trouble := range troubles {
		if !slices.Contains(before, trouble) {
			a.logger.Error("changed secret is not in force", zap.String("reason", trouble))
		}
	}
}

// shortestShown is the length from which on a key shows its end.
const shortestShown = 12

// KeyEnding returns the last characters of an API key, by which people recognize it, or nothing of a short one.
func KeyEnding(key string) string {
	if len(key) < shortestShown {
		return ""
	}
	return key[len(key)-4:]
}

// listKeyEnding is KeyEnding for a key of Mailchimp, which ends with its data centre: all keys of an account have that.
func listKeyEnding(key string) string {
	own, centre := key, ""
	if at := strings.LastIndexByte(key, '-'); at >= 0 {
		own, centre = key[:at], key[at:]
	}
	ending := KeyEnding(own)
	if ending == "" {
		return ""
	}
	return ending + centre
}
