package admin_test

import (
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

func TestMain(m *testing.M) { edgetest.Main(m) }
