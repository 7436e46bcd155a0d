package caddymodule_test

import (
	"flag"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) { edgetest.Main(m) }
