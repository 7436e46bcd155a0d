package outbox

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"regexp"
	"strings"
	"sync"
	"time"
)

// ids makes IDs of entries: 23 lower-case letters and digits that sort by time, and by the order in which this
// process made them. An ID is known before its entry is stored, so that the message can name it.
type ids struct {
	mu   sync.Mutex
	last [idSize]byte
}

// EntryIDLength and OutboxIDLength are how many characters the IDs of entries and of outboxes have.
const (
	EntryIDLength  = 23
	OutboxIDLength = 8
)

// An ID has 6 bytes of Unix milliseconds and 8 random ones.
const idSize = 14

// idEncoding keeps the order of the bytes.
var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

func (g *ids) next(now time.Time) string {
	var id [idSize]byte
	putMilliseconds(id[:], now)
	_, _ = rand.Read(id[6:]) // never fails
	id[6] &= 0x7f            // leaves room for what is added within a millisecond
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(id[:]) <= string(g.last[:]) || string(id[:6]) == string(g.last[:6]) {
		id = g.last
		// The addition may carry: time that steps back must not repeat an ID.
		random := binary.BigEndian.Uint64(id[6:])
		binary.BigEndian.PutUint64(id[6:], random+1)
	}
	g.last = id
	return encodeID(id[:])
}

func putMilliseconds(id []byte, t time.Time) {
	var eight [8]byte
	binary.BigEndian.PutUint64(eight[:], uint64(max(t.UnixMilli(), 0)))
	copy(id, eight[2:])
}

func encodeID(id []byte) string { return strings.ToLower(idEncoding.EncodeToString(id)) }

var idPattern = regexp.MustCompile(`^[0-9a-v]{23}$`)

// IsID reports whether a text has the form of an entry's ID.
func IsID(text string) bool { return idPattern.MatchString(text) }

// firstID returns the least ID that can be made at a time: entries accepted since then have that ID or a later one.
func firstID(t time.Time) string {
	var id [idSize]byte
	putMilliseconds(id[:], t)
	return encodeID(id[:])
}
