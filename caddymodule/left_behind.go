package caddymodule

import (
	"context"
	"os"
	"path/filepath"
	"slices"
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

// outboxMark is the file that remembers the SQLite files of the last outbox and of those left behind, one a line.
func outboxMark() string { return filepath.Join(caddy.AppDataDir(), "mailchimp", "outbox.last") }

// rememberOutbox looks for outboxes that this configuration leaves behind, and remembers them and this one.
func (a *App) rememberOutbox() {
	for _, file := range append(markedOutboxes(), DefaultOutboxFile()) {
		if file != a.outboxConfig.SQLite && !slices.Contains(a.formerOutboxes, file) {
			a.formerOutboxes = append(a.formerOutboxes, file)
		}
	}
	var marked []string
	for _, left := range a.LeftBehind() {
		a.logger.Warn("undelivered entries are in another outbox: move them with caddy mailchimp outbox move",
			zap.Int("entries", left.Entries), zap.String("file", left.File))
		marked = append(marked, left.File)
	}
	if a.outboxConfig.SQLite == "" {
		return // the mark names the last file, so that its entries are not forgotten
	}
	marked = append(marked, a.outboxConfig.SQLite)
	if err := makeFolder(filepath.Dir(outboxMark())); err == nil {
		err = os.WriteFile(outboxMark(), []byte(strings.Join(marked, "\n")), 0o600)
		if err != nil {
			a.logger.Warn("remembering the outbox", zap.Error(err))
		}
	}
}

func markedOutboxes() []string {
	content, err := os.ReadFile(outboxMark())
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' })
}

// LeftBehind returns the former outboxes that still have entries which nobody delivers.
func (a *App) LeftBehind() []LeftBehind {
	var found []LeftBehind
	total := 0
	for _, file := range a.formerOutboxes {
		if n := outbox.LeftIn(context.Background(), file); n > 0 {
			found = append(found, LeftBehind{n, file})
			total += n
		}
	}
	a.leftBehind.Store(int64(total))
	return found
}
