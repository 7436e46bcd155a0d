package caddymodule_test

import (
	"flag"
	"os"
	"testing"

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
		if err := goleak.Find(
			// Caddy's storage notices some seconds late that a lock was given up.
			goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		); err != nil {
			os.Stderr.WriteString("goleak: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
