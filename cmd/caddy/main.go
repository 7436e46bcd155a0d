// Command caddy is a Caddy with its standard modules and this plugin, for development.
// Releases are built with xcaddy.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook"
)

func main() {
	caddycmd.Main()
}
