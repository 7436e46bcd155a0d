package vm

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// writer makes JSON of values.
type writer struct {
	m   *machine
	out []byte
	// spaced sets a space behind commas and colons, as std.toString does.
	spaced bool
	// charged is how much of the result was paid for.
	charged int
}

func (w *writer) write(v value) *fault {
	if f := w.m.enter(); f != nil {
		return f
	}
	f := w.nested(v)
	w.m.depth--
	return f
}

func (w *writer) nested(v value) *fault {
	switch v := v.(type) {
	case null:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case float64:
		w.out = appendNumber(w.out, v)
	case *text:
		s, f := v.flat(w.m)
		if f != nil {
			return f
		}
		if f := w.quote(s); f != nil {
			return f
		}
	case *array:
		return w.array(v)
	case *object:
		return w.object(v)
	default:
		return fail("couldn't manifest function as JSON")
	}
	return w.pay()
}

func (w *writer) pay() *fault { return w.room(0) }

// room pays for what was written, and for n bytes that are about to be. Growing copies: so they count twice.
func (w *writer) room(n int) *fault {
	size := len(w.out) + n
	f := w.m.charge(2 * (size - w.charged))
	w.charged = size
	return f
}

func (w *writer) quote(s string) *fault {
	n := quotedSize(s)
	if f := w.room(n); f != nil {
		return f
	}
	w.out = quote(grown(w.out, n), s)
	return nil
}

// grown makes room for n bytes more, and as many as there are: growing costs what the result is long.
func grown(out []byte, n int) []byte {
	if cap(out)-len(out) < n {
		return slices.Grow(out, max(n, len(out)))
	}
	return out
}

func (w *writer) array(v *array) *fault {
	if len(v.elements) == 0 {
		w.empty("[]")
		return nil
	}
	for i, element := range v.elements {
		w.begin('[', i)
		inner, f := element.force(w.m)
		if f != nil {
			return f
		}
		if f := w.write(inner); f != nil {
			return f
		}
	}
	w.out = append(w.out, ']')
	return w.pay()
}

func (w *writer) object(v *object) *fault {
	names, f := v.names(w.m, false)
	if f != nil {
		return f
	}
	if f := v.assert(w.m); f != nil {
		return f
	}
	if len(names) == 0 {
		w.empty("{}")
		return nil
	}
	for i, name := range names {
		w.begin('{', i)
		if f := w.quote(name); f != nil {
			return f
		}
		w.out = append(w.out, ':')
		if w.spaced {
			w.out = append(w.out, ' ')
		}
		inner, f := v.get(w.m, name)
		if f != nil {
			return f
		}
		if f := w.write(inner); f != nil {
			return f
		}
	}
	w.out = append(w.out, '}')
	return w.pay()
}

func (w *writer) begin(bracket byte, i int) {
	switch {
	case i == 0:
		w.out = append(w.out, bracket)
	case w.spaced:
		w.out = append(w.out, ", "...)
	default:
		w.out = append(w.out, ',')
	}
}

func (w *writer) empty(brackets string) {
	w.out = append(w.out, brackets[0])
	if w.spaced {
		w.out = append(w.out, ' ')
	}
	w.out = append(w.out, brackets[1])
}

// toText is std.toString.
func (m *machine) toText(v value) (*text, *fault) {
	switch v := v.(type) {
	case *text:
		return v, nil
	case float64:
		if v >= 0 && v < 10 && v == math.Floor(v) && !math.Signbit(v) {
			return letters['0'+int(v)].(*text), nil
		}
	}
	w := &writer{m: m, spaced: true}
	if f := w.write(v); f != nil {
		return nil, f
	}
	return newText(string(w.out)), m.charge(sizeText)
}

func (m *machine) toString(v value) (string, *fault) {
	t, f := m.toText(v)
	if f != nil {
		return "", f
	}
	return t.flat(m)
}

func appendNumber(out []byte, x float64) []byte {
	if x == math.Floor(x) {
		return strconv.AppendFloat(out, x, 'f', 0, 64)
	}
	return fmt.Appendf(out, "%.17g", x)
}

const hexDigits = "0123456789abcdef"

// quotedSize is how long a string becomes in quotes.
func quotedSize(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '\b' && c <= '\r' && c != '\v', c == '"', c == '\\':
			n++
		case c < ' ', c == 0x7f:
			n += 5
		case c == 0xc2 && s[i+1] <= 0x9f: // a control letter of two bytes
			n += 4
		}
	}
	return n
}

// quote appends a string in quotes, as JSON has it.
func quote(out []byte, s string) []byte {
	out = append(slices.Grow(out, len(s)+2), '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < 0x7f {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if r > 0x9f {
			i += size
			continue
		}
		out = append(append(out, s[start:i]...), '\\')
		switch r {
		case '"', '\\':
			out = append(out, byte(r))
		case '\b':
			out = append(out, 'b')
		case '\f':
			out = append(out, 'f')
		case '\n':
			out = append(out, 'n')
		case '\r':
			out = append(out, 'r')
		case '\t':
			out = append(out, 't')
		default:
			out = append(out, 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		}
		i += size
		start = i
	}
	return append(append(out, s[start:]...), '"')
}
