package caddymodule

import (
	"container/list"
	"time"
)

// SetWaits shortens the time until an entry is looked for at Mandrill, for which others may join it, and until a failed
// attempt is repeated.
func SetWaits(lookUp, retry time.Duration) {
	uncertainWait, lookUpWait, indexedSince = lookUp, lookUp, lookUp
	searchWindow, retryWait = lookUp/10, retry
}

// SetEventPatience has a stop wait less long for the handlers of events.
func SetEventPatience(patience time.Duration) { eventPatience = patience }

// SetTemplatePoll has the files of templates read more often.
func SetTemplatePoll(interval time.Duration) { templatePoll = interval }

// SetSecretInterval has the files of secrets read more often.
func SetSecretInterval(interval time.Duration) { secretInterval = interval }

// SetBodyTimeout has bodies arrive faster.
func SetBodyTimeout(timeout time.Duration) { bodyTimeout = timeout }

// ForgetReplies forgets the answers to sync hooks that are in memory.
func ForgetReplies() {
	replies := Running().replies
	replies.mu.Lock()
	defer replies.mu.Unlock()
	replies.byKey = make(map[string]*list.Element)
	replies.byAge.Init()
}

// FirstHook returns the first handler of the running configuration.
func FirstHook() *Webhook { return Running().hooks[0] }
