package outbox

import (
	"strings"
	"testing"
)

// TestNoScans has an index for each query that runs at the start or from time to time.
func TestNoScans(t *testing.T) {
	inside(t, func(t *testing.T, o *Outbox, _ *[]string) {
		for _, query := range []string{
			"SELECT count(*) FROM entry WHERE " + isUndelivered,
			"SELECT count(*) FROM entry WHERE " + isLeft,
			"SELECT id FROM entry WHERE " + isUndelivered + " AND holds >= 3 ORDER BY id",
			"SELECT id FROM entry WHERE " + isSending + " AND claimed = 0",
			"SELECT DISTINCT hook FROM entry WHERE " + isUnrendered,
			"SELECT id, length(content) FROM entry WHERE " + isDead + " ORDER BY id DESC",
			"SELECT id FROM entry WHERE " + isForgettable + " AND state = 'sent' AND ended < 1",
			"SELECT id FROM entry WHERE expires > 0 AND ended = 0 AND expires <= 1 ORDER BY expires",
			"SELECT id FROM entry WHERE " + isWaiting + " AND lane = 'x' AND due <= 1 ORDER BY due",
			"SELECT id FROM entry WHERE " + isLookedUp + " AND due <= 1 ORDER BY due",
			"SELECT id FROM entry WHERE lease > 0 AND lease <= 1 AND state = 'sending' ORDER BY lease",
		} {
			err := o.store.Load().Read(t.Context(), "EXPLAIN QUERY PLAN "+query, nil, func(scan func(...any) error) error {
				var id, parent, unused int64
				var step string
				err := scan(&id, &parent, &unused, &step)
				if strings.HasPrefix(step, "SCAN") {
					t.Errorf("%s: %s", query, step)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	})
}
