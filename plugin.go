// Package mailchimphook adds the plugin to a Caddy that imports it:
//
//	xcaddy build --with github.com/caddy-mailchimp-hook/caddy-mailchimp-hook
package mailchimphook

import (
	// Register the plugin's Caddy modules and its command.
	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
	_ "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/command"
)
