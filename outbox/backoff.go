package outbox

import "time"

const (
	firstRetry = time.Second
	lastRetry  = 15 * time.Minute

	lastLookUp = time.Hour
)

// backoff is the time between the attempt that is the nth to fail and the next: 1 s, doubled each time up to
// 15 min, less up to a quarter by a jitter between 0 and 1.
func backoff(n int, jitter float64) time.Duration {
	delay := lastRetry
	if n < 11 { // 2^10 s is more than lastRetry
		delay = min(firstRetry<<(n-1), lastRetry)
	}
	return delay - time.Duration(jitter*float64(delay)/4)
}

// lookUpDelay is the time until the next look-up of an entry that has waited for a while: the first delay, growing to
// 1 h.
func lookUpDelay(first, waited time.Duration) time.Duration {
	return min(max(waited/4, first), lastLookUp)
}
