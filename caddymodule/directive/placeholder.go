package directive

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

// Expand replaces the placeholders of a configured value. A value that expands to an empty string is an error that
// names the option and the placeholder: an empty secret would let everybody in, and Caddy expands an unreadable file to
// an empty string.
func Expand(option, value string) (string, error) {
	expanded, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	if expanded == "" {
		return "", fmt.Errorf("%s is empty", option)
	}
	return expanded, nil
}

// ExpandAll expands the placeholders of each value.
func ExpandAll(option string, values []string) ([]string, error) {
	expanded := make([]string, len(values))
	for i, value := range values {
		var err error
		if expanded[i], err = Expand(option, value); err != nil {
			return nil, err
		}
	}
	return expanded, nil
}
