package caddymodule

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopIsPatient waits for what ends, and not for ever for what does not.
func TestStopIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for takes, want := range map[time.Duration]bool{time.Second: true, time.Hour: false} {
			var done sync.WaitGroup
			done.Go(func() { time.Sleep(takes) })
			began := time.Now()
			if got := waitFor(&done, stopPatience); got != want || time.Since(began) > stopPatience {
				t.Errorf("what takes %v: %v after %v", takes, got, time.Since(began))
			}
			done.Wait()
		}
	})
}
