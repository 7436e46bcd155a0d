package caddymodule

import "container/list"

// ForgetReplies forgets the answers to sync hooks that are in memory.
func ForgetReplies() {
	replies := Running().replies
	replies.mu.Lock()
	defer replies.mu.Unlock()
	replies.byKey = make(map[string]*list.Element)
	replies.byAge.Init()
}
