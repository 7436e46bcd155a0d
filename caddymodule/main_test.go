package caddymodule_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
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

// leaks waits for what was left to its end, and tells what doesn't end. A server of Caddy's shuts down behind Stop: where a hook
// was refused before its body was read, net/http keeps the connection for half a second, which is longer than goleak waits.
func leaks() error {
	// Caddy's storage notices some seconds late that a lock was given up.
	lock := goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err := goleak.Find(lock); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
