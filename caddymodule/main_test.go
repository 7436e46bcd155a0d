package caddymodule_test

import (
	"flag"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) {
	caddymodule.SetWaits(250*time.Millisecond, 100*time.Millisecond)
	caddymodule.SetEventPatience(200 * time.Millisecond)
	caddymodule.SetTemplatePoll(20 * time.Millisecond)
	caddymodule.SetSecretInterval(20 * time.Millisecond)
	edgetest.Main(m)
}
