package vm

import (
	"math"
	"strings"
	"unicode/utf8"
)

func init() {
	quick("format", format, "str", "vals")
}

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

// formatting is one evaluation of std.format.
type formatting struct {
	m      *machine
	list   *array
	object *object
	next   int // of list
	out    []byte
}

// format does what goes well. On all else it returns nothing, and the Jsonnet text is run.
func format(m *machine, args []*thunk) (value, *fault) {
	values, f := args[1].force(m)
	if f != nil {
		return nil, f
	}
	str, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	t, ok := str.(*text)
	if !ok {
		return nil, nil
	}
	s, f := t.flat(m)
	if f != nil {
		return nil, f
	}
	codes := parseFormat(s)
	if codes == nil {
		return nil, nil
	}
	w := formatting{m: m, out: make([]byte, 0, len(s)+len(s)/2)}
	switch values := values.(type) {
	case *array:
		w.list = values
	case *object:
		w.object = values
	default:
		w.list = newArray([]*thunk{args[1]})
	}
	if f := m.charge(2*len(s) + 128*len(codes)); f != nil {
		return nil, f
	}
	for i := range codes {
		done, f := w.add(&codes[i])
		if f != nil || !done {
			return nil, f
		}
	}
	if w.list != nil && w.next < len(w.list.elements) {
		return nil, nil
	}
	return newText(string(w.out)), nil
}

// value returns the next value of the list, or nil.
func (w *formatting) value() (value, *fault) {
	if w.list == nil || w.next >= len(w.list.elements) {
		return nil, nil
	}
	w.next++
	return w.list.elements[w.next-1].force(w.m)
}

// add appends a conversion, and tells whether it could.
func (w *formatting) add(c *conversion) (bool, *fault) {
	if c.letter == 0 {
		w.out = append(w.out, c.literal...)
		return true, nil
	}
	width, precision := c.width, c.precision
	for _, star := range []struct {
		set  bool
		into *float64
	}{{c.starWidth, &width}, {c.starPrecision, &precision}} {
		if !star.set {
			continue
		}
		v, f := w.value()
		n, ok := v.(float64)
		if f != nil || !ok {
			return false, f
		}
		*star.into = n
	}
	if width < 0 || width != math.Floor(width) || precision < 0 || precision != math.Floor(precision) {
		return false, nil
	}
	if f := w.m.charge(int(min(2*width+2*precision, 1<<40))); f != nil {
		return false, f
	}
	s, ok, f := w.convert(c, int(width), int(precision))
	if f != nil || !ok {
		return false, f
	}
	if f := w.m.charge(2 * len(s)); f != nil {
		return false, f
	}
	padding := 0
	if width > 0 {
		padding = max(int(width)-utf8.RuneCountInString(s), 0)
	}
	if c.left {
		w.out = append(w.out, s...)
	}
	for range padding {
		w.out = append(w.out, ' ')
	}
	if !c.left {
		w.out = append(w.out, s...)
	}
	return true, nil
}

func (w *formatting) convert(c *conversion, width, precision int) (string, bool, *fault) {
	if c.letter == '%' {
		return "%", true, nil
	}
	var v value
	var f *fault
	if w.object == nil {
		v, f = w.value()
	} else {
		if !c.keyed {
			return "", false, nil
		}
		if _, has := w.object.hiding(c.key); has {
			v, f = w.object.get(w.m, c.key)
		}
	}
	if f != nil || v == nil {
		return "", false, f
	}
	switch c.letter {
	case 's':
		s, f := w.m.toString(v)
		return s, f == nil, f
	case 'c':
		return w.char(v)
	}
	x, ok := v.(float64)
	if !ok {
		return "", false, nil
	}
	n := numeral{conversion: c, precision: float64(precision)}
	if c.zero && !c.left {
		n.zeros = float64(width)
	}
	s, ok := n.write(x)
	return s, ok, nil
}

func (w *formatting) char(v value) (string, bool, *fault) {
	switch v := v.(type) {
	case float64:
		if v >= 0 && v <= utf8.MaxRune {
			return string(rune(v)), true, nil
		}
	case *text:
		s, f := v.flat(w.m)
		return s, f == nil && utf8.RuneCountInString(s) == 1, f
	}
	return "", false, nil
}
