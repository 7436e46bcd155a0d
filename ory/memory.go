package ory

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// heldPerByte is what a decoded body takes in memory for each of its bytes at worst: {"":{"":{}}} takes 57, and {}
	// takes 22.
	heldPerByte = 64
	// heldBeside is counted for each body beside its bytes: also a small one makes a mail.
	heldBeside = 1 << 10
	// smallBody is the size up to which bodies do not wait for larger ones. Those of Ory are smaller, as a rule.
	smallBody = 64 << 10
	// memoryPatience is how long a call waits for memory.
	memoryPatience = 2 * time.Second
)

// Memory bounds what all hooks that share it hold at once. It counts what a body may take when it is decoded, before
// it is read.
type Memory struct {
	// most is the size of each.
	most         int64
	small, large *semaphore.Weighted
}

// NewMemory returns memory of about so many bytes, half of them for small bodies. A body that may take more than its
// half waits until it can have all of it.
func NewMemory(bytes int64) *Memory {
	half := bytes / 2
	return &Memory{most: half, small: semaphore.NewWeighted(half), large: semaphore.NewWeighted(half)}
}

// take waits for the memory that a body may take, and returns what gives it back. It reports false if there is none in
// time.
func (m *Memory) take(r *http.Request, maxBody int64) (release func(), ok bool) {
	if m == nil {
		return func() {}, true
	}
	size := r.ContentLength
	if size < 0 {
		size = maxBody
	}
	from := m.small
	if size > smallBody {
		from = m.large
	}
	weight := m.most
	if size < m.most/heldPerByte {
		weight = min(m.most, (size+heldBeside)*heldPerByte)
	}
	ctx, cancel := context.WithTimeout(r.Context(), memoryPatience)
	defer cancel()
	if from.Acquire(ctx, weight) != nil {
		return nil, false
	}
	return func() { from.Release(weight) }, true
}
