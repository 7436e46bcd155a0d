package outbox

import (
	"context"
	"fmt"
)

const (
	// smallContent is the size up to which a claim brings an entry's content along.
	smallContent = 32 << 10
	// maxLoaded bounds what workers hold of larger contents together, and of what they make of them.
	maxLoaded = 96 << 20
	// sendingTakes and renderingTakes are how many times its size a content takes: it is opened and posted, or it is
	// decoded to be rendered.
	sendingTakes, renderingTakes = 4, 64
)

// claimedColumns are columns, the content if it is small, and its size.
var claimedColumns = columns + fmt.Sprintf(", CASE WHEN length(content) <= %d THEN content END, length(content)",
	smallContent)

// readClaimed reads a row of claimedColumns.
func readClaimed(scan func(...any) error) (*row, error) {
	var size *int64
	r, err := read(func(to ...any) error { return scan(append(to, &size)...) })
	if err == nil && size != nil {
		r.size = *size
	}
	return r, err
}

// loadContent waits for the memory that the entry's content takes, if it is large, and reads it. release gives the
// memory back.
func (o *Outbox) loadContent(ctx context.Context, s *store, c *claimed) (release func(), err error) {
	if c.stored != nil || c.size == 0 {
		return func() {}, nil
	}
	weight := c.size * sendingTakes
	if c.unrendered {
		weight = c.size * renderingTakes
	}
	weight = min(weight, maxLoaded)
	if err := o.loading.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	release = func() { o.loading.Release(weight) }
	err = s.Read(ctx, "SELECT content FROM entry WHERE id = $1", []any{c.ID}, func(scan func(...any) error) error {
		return scan(&c.stored)
	})
	if err != nil {
		release()
		return nil, fmt.Errorf("reading the content: %w", err)
	}
	return release, nil
}
