package edgetest

import (
	"os"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // an edge needs Caddy's own modules
	"go.uber.org/goleak"
)

// Main runs the tests of a package with a data folder of its own, and fails if goroutines are left at the end.
func Main(m *testing.M) {
	data, err := os.MkdirTemp("", "caddymodule")
	if err != nil {
		panic(err)
	}
	// Caddy keeps its data there, and what it finds there must not be the developer's.
	os.Setenv("XDG_DATA_HOME", data)
	os.Setenv("XDG_CONFIG_HOME", data)
	code := m.Run()
	if err := os.RemoveAll(data); err != nil {
		panic(err)
	}
	if code == 0 {
		if err := leaks(); err != nil {
			os.Stderr.WriteString("goleak: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// leaks waits for the end of what was left, and returns what does not end. A server of Caddy's shuts down after Stop
// has
// returned: if a hook was refused before its body was read, net/http keeps the connection for half a second, which is
// longer than goleak waits.
func leaks() error {
	// Caddy's storage notices some seconds late that a lock was given up.
	lock := goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(pause) {
		if err := goleak.Find(lock); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
