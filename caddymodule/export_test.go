package caddymodule

import (
	"container/list"
	"time"
)

// SetUncertainWait shortens the time between an attempt whose outcome is unknown and the search for it.
func SetUncertainWait(wait time.Duration) { uncertainWait = wait }

// ForgetReplies forgets the answers to sync hooks that are in memory.
func ForgetReplies() {
	replies := Running().replies
	replies.mu.Lock()
	defer replies.mu.Unlock()
	replies.byKey = make(map[string]*list.Element)
	replies.byAge.Init()
}
