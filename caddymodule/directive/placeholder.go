package directive

import (
	"fmt"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
)

// Expand replaces the placeholders of a configured value. A value that expands to an empty string is an error that
// names the option and the placeholder: an empty secret would let everybody in, and Caddy expands an unreadable file to
// an empty string. So is a lone brace, which Caddy would leave as it is.
func Expand(option, value string) (string, error) {
	if err := checkBraces(value); err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	expanded, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	if expanded == "" {
		return "", fmt.Errorf("%s is empty", option)
	}
	return expanded, nil
}

// checkBraces refuses a brace that is part of no placeholder. Its error has the place and not the value, which may be a
// secret.
func checkBraces(value string) error {
	lone := func(brace, other string, at int) error {
		return fmt.Errorf(`the %q at character %d has no %q: complete the placeholder, or write \%s for the character itself`,
			brace, utf8.RuneCountInString(value[:at])+1, other, brace)
	}
	open := -1
	for i := range len(value) {
		if i > 0 && value[i-1] == '\\' {
			continue
		}
		switch c := value[i]; {
		case c == '{' && open >= 0:
			return lone("{", "}", open)
		case c == '{':
			open = i
		case c == '}' && open < 0:
			return lone("}", "{", i)
		case c == '}':
			open = -1
		}
	}
	if open >= 0 {
		return lone("{", "}", open)
	}
	return nil
}

// ExpandAll expands the placeholders of each value.
func ExpandAll(option string, values []string) ([]string, error) {
	expanded := make([]string, len(values))
	for i, value := range values {
		var err error
		if expanded[i], err = Expand(Numbered(option, i, values), value); err != nil {
			return nil, err
		}
	}
	return expanded, nil
}

// Numbered names the i-th of an option's values in an error, if there are several.
func Numbered[T any](option string, i int, values []T) string {
	if len(values) < 2 {
		return option
	}
	return fmt.Sprintf("%s: value %d", option, i+1)
}
