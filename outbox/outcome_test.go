package outbox_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestOutcomesAreStoredAgain has the database refuse what became of an entry for a while, and then take it.
func TestOutcomesAreStoredAgain(t *testing.T) {
	onSQLite(t, func(t *testing.T, c outbox.Config) {
		f := newFake(sent)
		o := open(t, c, f)
		start(t, o)
		db, err := sql.Open("sqlite", c.SQLite)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		execute := func(statement string) {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		execute(`CREATE TRIGGER refuse BEFORE UPDATE ON entry WHEN NEW.state = 'sent'
			BEGIN SELECT RAISE(FAIL, 'refused by a trigger'); END`)
		put(t, o, "k")
		isTroubled := func() bool {
			return slices.ContainsFunc(o.Troubles(), func(s string) bool { return strings.HasPrefix(s, "storing outcomes: ") })
		}
		eventually(t, "trouble", isTroubled)
		execute("DROP TRIGGER refuse")
		f.waitEvents(t, "sent", 1)
		if isTroubled() || f.count("sent") != 1 || len(f.delivered) != 1 {
			t.Errorf("troubles %q, events %v", o.Troubles(), f.counts())
		}
	})
}
