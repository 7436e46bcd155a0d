package outbox

import (
	"testing"
	"time"
)

// SetOperatePage has fewer entries be changed in one commit.
func SetOperatePage(t *testing.T, n int) { set(t, &operatePage, n) }

// SetBacklogFor has entries that the account keeps back be given up sooner.
func SetBacklogFor(t *testing.T, d time.Duration) { set(t, &backlogFor, d) }

// Hurry shortens what tests wait for that have a server, whose time cannot be made to pass.
func Hurry(t *testing.T) {
	set(t, &leaseInterval, 100*time.Millisecond)
	set(t, &leaseEnd, 500*time.Millisecond)
	set(t, &maintainInterval, 200*time.Millisecond)
	set(t, &reachInterval, 50*time.Millisecond)
}

func set[T any](t *testing.T, variable *T, to T) {
	before := *variable
	*variable = to
	t.Cleanup(func() { *variable = before })
}

// LeaseEnd is how long a lease is.
func LeaseEnd() time.Duration { return leaseEnd }

// SetLeaseEnd has leases be longer or shorter.
func SetLeaseEnd(t *testing.T, d time.Duration) { set(t, &leaseEnd, d) }
