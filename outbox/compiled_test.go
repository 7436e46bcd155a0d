package outbox

import (
	"fmt"
	"testing"
)

// TestCompiledStatements runs a statement while its rows are read, while it is dropped, and after the tables have changed.
func TestCompiledStatements(t *testing.T) {
	o := inside(t, nil)
	const query = "SELECT value FROM json_each(?1)"
	err := o.store.within(t.Context(), func(s *store) error {
		outer, err := s.tx.QueryContext(t.Context(), query, "[1, 2, 3]")
		if err != nil {
			return err
		}
		defer outer.Close()
		for n := 1; outer.Next(); n++ {
			var value, again int
			if err := outer.Scan(&value); err != nil {
				return err
			}
			if err := s.tx.QueryRowContext(t.Context(), query, fmt.Sprintf("[%d]", value*10)).Scan(&again); err != nil {
				return err
			}
			if value != n || again != 10*n {
				t.Errorf("%d: %d, %d", n, value, again)
			}
			for other := range maxCompiled {
				if err := s.tx.QueryRowContext(t.Context(), fmt.Sprintf("SELECT ?1 + %d", other), n).Scan(&value); err != nil || value != n+other {
					t.Errorf("%d + %d = %d, %v", n, other, value, err)
				}
			}
		}
		return outer.Err()
	})
	if err != nil {
		t.Error(err)
	}

	const count = "SELECT count(*) FROM outbox_setting WHERE name = ?1"
	for n, change := range []string{"ALTER TABLE outbox_setting ADD COLUMN more text", "DROP TABLE outbox_setting"} {
		var found int
		if err := o.store.db.QueryRowContext(t.Context(), count, "hash_key").Scan(&found); err != nil || found != 1 {
			t.Errorf("%d: %d, %v", n, found, err)
		}
		if _, err := o.store.db.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.store.db.QueryRowContext(t.Context(), count, "hash_key").Scan(new(int)); err == nil {
		t.Error("a statement runs on a table that isn't there")
	}
}
