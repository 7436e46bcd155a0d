package vm

import (
	"strings"
)

// conversion is one % of a format, or what stands before it.
type conversion struct {
	literal string
	key     string
	keyed   bool
	alt, zero, left, blank, plus,
	caps bool
	// width and precision are numbers, or taken from the values.
	width, precision         float64
	starWidth, starPrecision bool
	precise                  bool
	letter                   byte
}

// parseFormat returns nil where the format is broken: the Jsonnet text then says how.
func parseFormat(s string) []conversion {
	codes := make([]conversion, 0, 2*strings.Count(s, "%")+1)
	for {
		literal, rest, more := strings.Cut(s, "%")
		if literal != "" {
			codes = append(codes, conversion{literal: literal})
		}
		if !more {
			return codes
		}
		var c conversion
		if s = c.parse(rest); c.letter == 0 {
			return nil
		}
		codes = append(codes, c)
	}
}

// parse takes a conversion off a format, and leaves letter 0 where there is none.
func (c *conversion) parse(s string) string {
	if strings.HasPrefix(s, "(") {
		end := strings.IndexByte(s, ')')
		if end < 0 {
			return s
		}
		c.key, c.keyed, s = s[1:end], true, s[end+1:]
	}
	for ; s != ""; s = s[1:] {
		if !c.flag(s[0]) {
			break
		}
	}
	s = digits(s, &c.width, &c.starWidth)
	if strings.HasPrefix(s, ".") {
		c.precise = true
		s = digits(s[1:], &c.precision, &c.starPrecision)
	}
	if s != "" && strings.IndexByte("hlL", s[0]) >= 0 {
		s = s[1:]
	}
	if s == "" {
		return s
	}
	switch s[0] {
	case 'd', 'i', 'u':
		c.letter = 'd'
	case 'o', 'x', 'e', 'f', 'g', 'c', 's', '%':
		c.letter = s[0]
	case 'X', 'E', 'F', 'G':
		c.letter, c.caps = s[0]|0x20, true
	}
	return s[1:]
}

func (c *conversion) flag(letter byte) bool {
	switch letter {
	case '#':
		c.alt = true
	case '0':
		c.zero = true
	case '-':
		c.left = true
	case ' ':
		c.blank = true
	case '+':
		c.plus = true
	default:
		return false
	}
	return true
}

func digits(s string, n *float64, star *bool) string {
	if strings.HasPrefix(s, "*") {
		*star = true
		return s[1:]
	}
	for ; s != "" && s[0] >= '0' && s[0] <= '9'; s = s[1:] {
		*n = *n*10 + float64(s[0]-'0')
	}
	return s
}
