package outbox

import "time"

const (
	lastRetry  = 15 * time.Minute
	lastLookUp = time.Hour
)

// backoff is the time between the attempt that is the nth to fail and the next: the first delay, doubled each time
// up to 15 min, less up to a quarter by a jitter between 0 and 1.
func backoff(n int, first time.Duration, jitter float64) time.Duration {
	delay := first
	for ; n > 1 && delay < lastRetry; n-- {
		delay *= 2
	}
	delay = min(delay, lastRetry)
	return delay - time.Duration(jitter*float64(delay)/4)
}

// lookUpDelay is the time until the next look-up of an entry that has waited for a while: the first delay, growing to
// 1 h.
func lookUpDelay(first, waited time.Duration) time.Duration {
	return min(max(waited/4, first), lastLookUp)
}
