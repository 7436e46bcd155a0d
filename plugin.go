// Package mailchimphook adds the plugin to a Caddy that imports it:
//
//	xcaddy build --with github.com/caddy-mailchimp-hook/caddy-mailchimp-hook
package mailchimphook

import (
	// Registers the plugin's Caddy modules.
	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
)
