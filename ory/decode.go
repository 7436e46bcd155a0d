package ory

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// DecodeCtx decodes the body of a hook, with Read's checks of it.
//
// The result is that of encoding/json, which reads a body twice and copies each string: here it is read once, and
// strings without escapes are parts of the body.
func DecodeCtx(body string) (map[string]any, *Error) {
	d := decoder{text: body}
	value, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if d.next() != 0 || d.at < len(body) {
		return nil, ErrNotJSON
	}
	ctx, ok := value.(map[string]any)
	if !ok {
		return nil, ErrNotObject
	}
	return ctx, nil
}

// decoder reads JSON from at on.
type decoder struct {
	text string
	at   int
}

// next passes white space, and returns what comes after it, or 0 at the end.
func (d *decoder) next() byte {
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take passes a byte, if it comes after white space.
func (d *decoder) take(c byte) bool {
	if d.next() != c {
		return false
	}
	d.at++
	return true
}

// value reads a value that stands in depth arrays and objects.
func (d *decoder) value(depth int) (any, *Error) {
	switch c := d.next(); c {
	case '{', '[':
		if depth++; depth > MaxDepth {
			return nil, ErrTooDeep
		}
		d.at++
		if c == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case '"':
		s, ok := d.string()
		if !ok {
			return nil, ErrNotJSON
		}
		return s, nil
	case 'n':
		return d.word("null", nil)
	case 't':
		return d.word("true", true)
	case 'f':
		return d.word("false", false)
	default:
		return d.number()
	}
}

func (d *decoder) word(word string, value any) (any, *Error) {
	if !strings.HasPrefix(d.text[d.at:], word) {
		return nil, ErrNotJSON
	}
	d.at += len(word)
	return value, nil
}

// object reads behind the brace. Of fields with the same name, the last one counts.
func (d *decoder) object(depth int) (any, *Error) {
	fields := make(map[string]any)
	if d.take('}') {
		return fields, nil
	}
	for {
		if d.next() != '"' {
			return nil, ErrNotJSON
		}
		name, ok := d.string()
		if !ok || !d.take(':') {
			return nil, ErrNotJSON
		}
		value, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		fields[name] = value
		switch {
		case d.take('}'):
			return fields, nil
		case !d.take(','):
			return nil, ErrNotJSON
		}
	}
}

// array reads behind the bracket.
func (d *decoder) array(depth int) (any, *Error) {
	elements := []any{}
	if d.take(']') {
		return elements, nil
	}
	for {
		value, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, value)
		switch {
		case d.take(']'):
			return elements, nil
		case !d.take(','):
			return nil, ErrNotJSON
		}
	}
}

// number reads what strconv takes too, and is JSON.
func (d *decoder) number() (any, *Error) {
	start := d.at
	d.sign("-")
	if d.at < len(d.text) && d.text[d.at] == '0' {
		d.at++
	} else if !d.digits() {
		return nil, ErrNotJSON
	}
	if strings.HasPrefix(d.text[d.at:], ".") {
		d.at++
		if !d.digits() {
			return nil, ErrNotJSON
		}
	}
	if d.sign("eE") {
		d.sign("+-")
		if !d.digits() {
			return nil, ErrNotJSON
		}
	}
	x, err := strconv.ParseFloat(d.text[start:d.at], 64)
	if err != nil {
		return nil, ErrNotJSON
	}
	return x, nil
}

// sign passes one of the signs, if there is one.
func (d *decoder) sign(signs string) bool {
	found := d.at < len(d.text) && strings.IndexByte(signs, d.text[d.at]) >= 0
	if found {
		d.at++
	}
	return found
}

// digits passes digits, and reports whether there were any.
func (d *decoder) digits() bool {
	start := d.at
	for d.at < len(d.text) && '0' <= d.text[d.at] && d.text[d.at] <= '9' {
		d.at++
	}
	return d.at > start
}

// string reads a string at its quote.
func (d *decoder) string() (string, bool) {
	d.at++
	start := d.at
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; {
		case c == '"':
			s := d.text[start:d.at]
			if !utf8.ValidString(s) {
				d.at = start
				return d.rewritten()
			}
			d.at++
			return s, true
		case c == '\\':
			d.at = start
			return d.rewritten()
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// rewritten reads the rest of a string that has escapes, or what is not UTF-8.
func (d *decoder) rewritten() (string, bool) {
	var s strings.Builder
	copied := d.at
	for d.at < len(d.text) {
		c, size := d.text[d.at], 1
		switch {
		case c == '"':
			s.WriteString(d.text[copied:d.at])
			d.at++
			return s.String(), true
		case c < ' ':
			return "", false
		case c == '\\':
			s.WriteString(d.text[copied:d.at])
			r, ok := d.escape()
			if !ok {
				return "", false
			}
			s.WriteRune(r)
			copied = d.at
			continue
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRuneInString(d.text[d.at:]); r == utf8.RuneError && size == 1 {
				s.WriteString(d.text[copied:d.at])
				s.WriteRune(r)
				copied = d.at + 1
			}
		}
		d.at += size
	}
	return "", false
}

// escapes are what a letter behind a backslash stands for.
var escapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads an escape at its backslash. Half a surrogate pair is U+FFFD.
func (d *decoder) escape() (rune, bool) {
	if r, ok := d.unit(); ok {
		if !utf16.IsSurrogate(r) {
			return r, true
		}
		after := d.at
		if second, ok := d.unit(); ok {
			if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
				return pair, true
			}
		}
		d.at = after
		return utf8.RuneError, true
	}
	if d.at+1 >= len(d.text) {
		return 0, false
	}
	r := escapes[d.text[d.at+1]]
	d.at += 2
	return r, r != 0
}

// unit reads an escape of the form \u0041, if there is one.
func (d *decoder) unit() (rune, bool) {
	const size = len(`\u0041`)
	if len(d.text)-d.at < size || d.text[d.at:d.at+2] != `\u` {
		return 0, false
	}
	// ParseUint takes neither signs nor underscores in base 16.
	unit, err := strconv.ParseUint(d.text[d.at+2:d.at+size], 16, 16)
	if err != nil {
		return 0, false
	}
	d.at += size
	return rune(unit), true
}
