// Package directive parses the blocks of Caddyfile directives by a table of their options, and expands the placeholders
// in configured values.
package directive

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// Option is one line of a block. Its errors never echo an argument that may be a secret.
type Option struct {
	// Usage is the line as the documentation shows it.
	Usage string
	// Min and Max bound the number of arguments. A Max of -1 means that there is no upper bound.
	Min, Max int
	// List allows the line more than once.
	List bool
	// Set stores the arguments. Its error needs no name: Unmarshal adds that of the option.
	Set func(args []string) error
}

// Options are the lines that a block may have, by their first word.
type Options map[string]Option

// Unmarshal reads the block that follows the current token. Unknown words, missing and surplus arguments, repeats and
// stray blocks are errors. seen names the options that are already set.
func (o Options) Unmarshal(d *caddyfile.Dispenser, seen ...string) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		opt, ok := o[name]
		if !ok {
			return d.Errf("unknown option %q: known are %s", name, strings.Join(slices.Sorted(maps.Keys(o)), ", "))
		}
		if !opt.List && slices.Contains(seen, name) {
			return d.Errf("%s is repeated: remove one", name)
		}
		seen = append(seen, name)
		args := d.RemainingArgs()
		if len(args) < opt.Min || opt.Max >= 0 && len(args) > opt.Max {
			return d.Errf("%s: got %d arguments, expected: %s", name, len(args), opt.Usage)
		}
		for i, arg := range args {
			if err := checkBraces(arg); err != nil {
				return d.Errf("%s: argument %d: %v", name, i+1, err)
			}
		}
		if err := opt.Set(args); err != nil {
			return d.Errf("%s: %v", name, err)
		}
		if d.NextBlock(d.Nesting()) || d.Val() == "}" {
			return d.Errf("%s: got a block, expected: %s", name, opt.Usage)
		}
	}
	return nil
}

// Text is an option with one argument.
func Text(usage string, to *string) Option {
	return Option{Usage: usage, Min: 1, Max: 1, Set: func(args []string) error {
		*to = args[0]
		return NonEmpty(args)
	}}
}

// Texts is an option with one argument or more, on one line or several.
func Texts(usage string, to *[]string) Option {
	return Option{Usage: usage, Min: 1, Max: -1, List: true, Set: func(args []string) error {
		*to = append(*to, args...)
		return NonEmpty(args)
	}}
}

// Flag is an option without an argument.
func Flag(usage string, to *bool) Option {
	return Option{Usage: usage, Set: func([]string) error {
		*to = true
		return nil
	}}
}

// Duration is an option with a duration, which must be more than 0.
func Duration(usage string, to *caddy.Duration) Option {
	return Option{Usage: usage, Min: 1, Max: 1, Set: func(args []string) error {
		value, err := caddy.ParseDuration(args[0])
		if err != nil {
			return fmt.Errorf("%q is not a duration such as %s", args[0], 10*time.Second)
		}
		if value <= 0 {
			return fmt.Errorf("%q must be more than 0", args[0])
		}
		*to = caddy.Duration(value)
		return nil
	}}
}

// Number is an option with a number, which must be more than 0.
func Number(usage string, to *int) Option {
	return Option{Usage: usage, Min: 1, Max: 1, Set: func(args []string) error {
		value, err := strconv.Atoi(args[0])
		if err != nil || value <= 0 {
			return fmt.Errorf("%q is no number of 1 or more", args[0])
		}
		*to = value
		return nil
	}}
}

// Size is an option with a number of bytes, which must be more than 0.
func Size(usage string, to *int64) Option {
	return Option{Usage: usage, Min: 1, Max: 1, Set: func(args []string) error {
		value, err := humanize.ParseBytes(args[0])
		if err != nil || value > 1<<40 {
			return fmt.Errorf("%q is not a size such as 1MB", args[0])
		}
		if value == 0 {
			return fmt.Errorf("%q must be more than 0", args[0])
		}
		*to = int64(value)
		return nil
	}}
}

// NonEmpty returns an error if an argument is empty.
func NonEmpty(args []string) error {
	if slices.Contains(args, "") {
		return fmt.Errorf("an argument is empty")
	}
	return nil
}
