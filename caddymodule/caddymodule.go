// Package caddymodule joins the parts of this module into a Caddy: the app mailchimp, and the handlers mailchimp_hook,
// mailchimp_audience, mailchimp_events and mandrill_sandbox with their Caddyfile syntax. Package admin adds the admin
// API, package command the command `caddy mailchimp`. Nothing else of the module knows Caddy.
package caddymodule
