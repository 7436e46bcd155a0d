package caddymodule

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// LeftBehind is an outbox that an earlier configuration had, with entries that nobody delivers. A reload that would
// leave them is refused; a start cannot be.
type LeftBehind struct {
	// Entries is how many are not delivered.
	Entries int `json:"entries"`
	// File is where they are.
	File string `json:"file"`
}

// outboxMark is the file that remembers the SQLite file of the last outbox.
func outboxMark() string { return filepath.Join(caddy.AppDataDir(), "mailchimp", "outbox.last") }

// rememberOutbox looks for an outbox that this configuration leaves behind, and remembers this one.
func (a *App) rememberOutbox() {
	for _, file := range []string{DefaultOutboxFile(), lastOutboxFile()} {
		if file != "" && file != a.outboxConfig.SQLite {
			a.formerOutboxes = append(a.formerOutboxes, file)
		}
	}
	for _, left := range a.LeftBehind() {
		a.logger.Warn("undelivered entries are in another outbox: move them with caddy mailchimp outbox move",
			zap.Int("entries", left.Entries), zap.String("file", left.File))
	}
	if a.outboxConfig.SQLite == "" {
		return // the mark names the last file, so that its entries are not forgotten
	}
	if err := makeFolder(filepath.Dir(outboxMark())); err == nil {
		err = os.WriteFile(outboxMark(), []byte(a.outboxConfig.SQLite), 0o600)
		if err != nil {
			a.logger.Warn("remembering the outbox", zap.Error(err))
		}
	}
}

func lastOutboxFile() string {
	file, err := os.ReadFile(outboxMark())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(file))
}

// LeftBehind returns the former outboxes that still have entries which nobody delivers.
func (a *App) LeftBehind() []LeftBehind {
	var found []LeftBehind
	total := 0
	for i, file := range a.formerOutboxes {
		if i > 0 && file == a.formerOutboxes[i-1] {
			continue
		}
		if n := outbox.LeftIn(context.Background(), file); n > 0 {
			found = append(found, LeftBehind{n, file})
			total += n
		}
	}
	a.leftBehind.Store(int64(total))
	return found
}
