package outbox

import "testing"

// SetOperatePage has fewer entries be changed in one commit.
func SetOperatePage(t *testing.T, n int) {
	before := operatePage
	operatePage = n
	t.Cleanup(func() { operatePage = before })
}
