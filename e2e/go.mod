module github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/e2e

go 1.26.0

replace github.com/caddy-mailchimp-hook/caddy-mailchimp-hook => ../

require github.com/caddy-mailchimp-hook/caddy-mailchimp-hook v0.0.0-00010101000000-000000000000

require (
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
