package caddymodule

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// Ory's repeats of one hook end within 93 s, and two equal mails of its courier a while apart
	// are two mails: so long is the hash of a body remembered.
	rememberBody = 10 * time.Minute
	// So long is a key remembered that a template or a header gave, where keep says nothing.
	rememberKey = 24 * time.Hour
	// So long a repeat of a call with an unknown outcome is not sent again.
	rememberUnknown = 2 * time.Minute
	// So many records are kept at most; beyond it the oldest one goes.
	maxRecords = 100_000
)

// records remembers the answers to sync hooks by their idempotency keys, so that a repeat gets the
// first one's answer and no second mail. They are shared by all configurations of a process.
type records struct {
	mu    sync.Mutex
	byKey map[string]*list.Element
	// byAge has the oldest record in front.
	byAge *list.List
	max   int
}

type record struct {
	key string
	// done is closed when answer and until are set.
	done   chan struct{}
	answer answer
	until  time.Time
}

func newRecords(max int) *records {
	return &records{byKey: make(map[string]*list.Element), byAge: list.New(), max: max}
}

// once returns the answer that is on record for the key, or calls send and records its answer for
// as long as it says. A caller that finds the key's first call under way waits for it, or for the
// end of its context, which gives an error.
func (rs *records) once(ctx context.Context, key string, send func() (answer, time.Duration)) (answer, error) {
	for {
		rec, first := rs.take(key)
		if first {
			return rs.fill(rec, send), nil
		}
		select {
		case <-rec.done:
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
		if !rec.expired() {
			repeat := rec.answer
			repeat.duplicate = true
			return repeat, nil
		}
		rs.drop(rec)
	}
}

// take returns the key's record, which is new if there was none.
func (rs *records) take(key string) (rec *record, first bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if element, ok := rs.byKey[key]; ok {
		return element.Value.(*record), false
	}
	rec = &record{key: key, done: make(chan struct{})}
	rs.byKey[key] = rs.byAge.PushBack(rec)
	for oldest := rs.byAge.Front(); rs.byAge.Len() > rs.max || oldest.Value.(*record).expired(); oldest = rs.byAge.Front() {
		rs.remove(oldest)
	}
	return rec, true
}

// expired tells whether the record is of no more use.
func (rec *record) expired() bool {
	select {
	case <-rec.done:
		return !time.Now().Before(rec.until)
	default:
		return false
	}
}

func (rs *records) fill(rec *record, send func() (answer, time.Duration)) answer {
	// A panic in send must not leave others waiting.
	defer close(rec.done)
	sent, remember := send()
	rec.answer, rec.until = sent, time.Now().Add(remember)
	if remember == 0 {
		rs.drop(rec)
	}
	return sent
}

// drop forgets the record, unless its key has a new one.
func (rs *records) drop(rec *record) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if element, ok := rs.byKey[rec.key]; ok && element.Value == rec {
		rs.remove(element)
	}
}

func (rs *records) remove(element *list.Element) {
	delete(rs.byKey, rs.byAge.Remove(element).(*record).key)
}

// recordPool keeps the records over reloads: old and new configuration overlap, and Ory may repeat
// a call to the new one.
var recordPool = caddy.NewUsagePool()

const recordPoolKey = "records"

func takeRecords() *records {
	pooled, _ := recordPool.LoadOrStore(recordPoolKey, newRecords(maxRecords))
	return pooled.(*records)
}

func releaseRecords() error {
	_, err := recordPool.Delete(recordPoolKey)
	return err
}
