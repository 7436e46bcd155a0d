package caddymodule

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

// option is a line that a block may have. Its errors never repeat an argument of which it can't be
// said that it is no secret.
type option struct {
	// usage is the line as the documentation has it.
	usage string
	// min and max say how many arguments it takes; max is -1 where there is no limit.
	min, max int
	// list tells that the line may come several times.
	list bool
	// set takes the arguments.
	set func(args []string) error
}

// options are the lines that a block may have, by their first word.
type options map[string]option

// unmarshal reads the block that follows the current token. Unknown words, missing and surplus
// arguments, repeats and stray blocks are errors. seen names the options that are set already.
func (o options) unmarshal(d *caddyfile.Dispenser, seen ...string) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		opt, ok := o[name]
		if !ok {
			return d.Errf("unknown option %q: known are %s", name, strings.Join(slices.Sorted(maps.Keys(o)), ", "))
		}
		if !opt.list && slices.Contains(seen, name) {
			return d.Errf("%s stands twice: remove one", name)
		}
		seen = append(seen, name)
		args := d.RemainingArgs()
		if len(args) < opt.min || opt.max >= 0 && len(args) > opt.max {
			return d.Errf("%s: got %d arguments, expected: %s", name, len(args), opt.usage)
		}
		if err := opt.set(args); err != nil {
			return d.Errf("%s: %v", name, err)
		}
		if d.NextBlock(d.Nesting()) || d.Val() == "}" {
			return d.Errf("%s: got a block, expected: %s", name, opt.usage)
		}
	}
	return nil
}

// text is an option with one argument.
func text(usage string, to *string) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		*to = args[0]
		return nonEmpty(args)
	}}
}

// texts is an option with one argument or more, on one line or several.
func texts(usage string, to *[]string) option {
	return option{usage: usage, min: 1, max: -1, list: true, set: func(args []string) error {
		*to = append(*to, args...)
		return nonEmpty(args)
	}}
}

// flag is an option without an argument.
func flag(usage string, to *bool) option {
	return option{usage: usage, set: func([]string) error {
		*to = true
		return nil
	}}
}

// duration is an option with a duration, which must be more than 0.
func duration(usage string, to *caddy.Duration) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		value, err := caddy.ParseDuration(args[0])
		if err != nil {
			return fmt.Errorf("%q is no duration such as %s", args[0], 10*time.Second)
		}
		if value <= 0 {
			return fmt.Errorf("%q must be more than 0", args[0])
		}
		*to = caddy.Duration(value)
		return nil
	}}
}

// number is an option with a number, which must be more than 0.
func number(usage string, to *int) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		value, err := strconv.Atoi(args[0])
		if err != nil || value <= 0 {
			return fmt.Errorf("%q is no number of 1 or more", args[0])
		}
		*to = value
		return nil
	}}
}

// size is an option with a number of bytes, which must be more than 0.
func size(usage string, to *int64) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		value, err := humanize.ParseBytes(args[0])
		if err != nil || value > 1<<40 {
			return fmt.Errorf("%q is no size such as 1MB", args[0])
		}
		if value == 0 {
			return fmt.Errorf("%q must be more than 0", args[0])
		}
		*to = int64(value)
		return nil
	}}
}

func nonEmpty(args []string) error {
	if slices.Contains(args, "") {
		return fmt.Errorf("an argument is empty")
	}
	return nil
}
