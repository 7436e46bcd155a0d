package caddymodule

import (
	"errors"
	"io"
	"math/bits"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxEventsBody is several times what a thousand events have, the most that Mandrill posts at once.
	maxEventsBody = 8 << 20
	// maxEventsHeld bounds the bodies of all calls together: their signatures can be checked only at their ends.
	maxEventsHeld = maxEventsBody * 3 / 2
	// smallestRoom is the least that a body takes. Others take a power of two of it.
	smallestRoom = 8 << 10
)

// bodyTimeout is how long a body may take to arrive. Tests shorten it.
var bodyTimeout = 10 * time.Second

var (
	// eventsHeld is what the bodies of all mailchimp_events take, over reloads.
	eventsHeld = semaphore.NewWeighted(maxEventsHeld)
	// eventsRooms keeps buffers for the next bodies, by their size: garbage would take more than the bodies do.
	eventsRooms = make([]sync.Pool, bits.Len(maxEventsBody/smallestRoom))
)

var (
	errEventsTooLarge = errors.New("the body is too large")
	errEventsBusy     = errors.New("too many events arrive at once: post them again later")
)

// heldBody is a body in the memory of eventsHeld.
type heldBody struct {
	data []byte
	pool *sync.Pool
}

// read reads a body to its end. The announced length is -1 if it is not known.
func (b *heldBody) read(body io.Reader, announced int64) error {
	if announced < 0 || announced > maxEventsBody {
		announced = maxEventsBody
	}
	class := bits.Len(uint(max(announced-1, 0) / smallestRoom))
	size := smallestRoom << class
	if !eventsHeld.TryAcquire(int64(size)) {
		return errEventsBusy
	}
	b.pool = &eventsRooms[class]
	if room, ok := b.pool.Get().(*[]byte); ok {
		b.data = *room
	} else {
		b.data = make([]byte, size)
	}
	n, err := io.ReadFull(body, b.data)
	b.data = b.data[:n]
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case err != nil:
		return err
	}
	if n, _ := body.Read(make([]byte, 1)); n > 0 {
		return errEventsTooLarge
	}
	return nil
}

// release gives the memory back. Nothing of the body may be used any more.
func (b *heldBody) release() {
	if b.pool == nil {
		return
	}
	room := b.data[:cap(b.data)]
	eventsHeld.Release(int64(len(room)))
	b.pool.Put(&room)
	b.data, b.pool = nil, nil
}

// limitReading ends the reading of a request that does not arrive in time. The server goes on to read what a handler
// leaves.
func limitReading(w http.ResponseWriter, timeout time.Duration) {
	// Where it can't be set, there is none.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
}

// unlimitReading is for a request that was read: if a deadline passes then, the server takes the client for gone.
func unlimitReading(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}
