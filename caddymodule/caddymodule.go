// Package caddymodule joins the parts of this module into a Caddy: the app mailchimp, the
// handlers mailchimp_hook and mandrill_sandbox, their Caddyfile syntax and the command
// `caddy mailchimp`. It is the only package that knows Caddy.
package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

// expand replaces the placeholders of a configured value. A value that comes to nothing is an
// error that names the option and the placeholder, for an empty secret would let everybody in and
// an unreadable file expands to nothing in Caddy.
func expand(option, value string) (string, error) {
	expanded, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	if expanded == "" {
		return "", fmt.Errorf("%s is empty", option)
	}
	return expanded, nil
}

// expandAll replaces the placeholders of each value.
func expandAll(option string, values []string) ([]string, error) {
	expanded := make([]string, len(values))
	for i, value := range values {
		var err error
		if expanded[i], err = expand(option, value); err != nil {
			return nil, err
		}
	}
	return expanded, nil
}
