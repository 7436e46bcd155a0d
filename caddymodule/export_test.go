package caddymodule

import "container/list"

// ForgetRecords forgets the answers to sync hooks that are in memory.
func ForgetRecords() {
	records := Running().records
	records.mu.Lock()
	defer records.mu.Unlock()
	records.byKey = make(map[string]*list.Element)
	records.byAge.Init()
}
