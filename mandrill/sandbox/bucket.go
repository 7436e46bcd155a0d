package sandbox

import (
	"errors"
	"fmt"
	"time"
)

// bucket is a token bucket: as many calls at once as it holds, and then as many as drip into it.
type bucket struct {
	size, tokens float64
	// fills is how long it takes to fill.
	fills time.Duration
	last  time.Time
}

// newBucket returns a full bucket, or nil where there is no limit. An error names the field that is wrong.
func newBucket(limit int, per string) (*bucket, error) {
	switch {
	case limit < 0:
		return nil, errors.New("limit: must not be negative")
	case limit == 0 && per != "":
		return nil, errors.New("per: needs a limit")
	case limit == 0:
		return nil, nil
	}
	fills := time.Second
	if per != "" {
		var err error
		if fills, err = time.ParseDuration(per); err != nil || fills <= 0 {
			return nil, fmt.Errorf("per: %q is not a duration such as 1s", per)
		}
	}
	return &bucket{size: float64(limit), tokens: float64(limit), fills: fills}, nil
}

// take takes a token, and reports whether there was one.
func (b *bucket) take(now time.Time) bool {
	if !b.last.IsZero() {
		b.tokens = min(b.size, b.tokens+b.size*now.Sub(b.last).Seconds()/b.fills.Seconds())
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
