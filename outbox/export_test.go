package outbox

import "testing"

// SetChangePage has fewer entries be changed in one transaction.
func SetChangePage(t *testing.T, n int) {
	before := changePage
	changePage = n
	t.Cleanup(func() { changePage = before })
}
