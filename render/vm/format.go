package vm

import (
	"math"
	"strings"
	"unicode/utf8"
)

func init() {
	quick("format", format, "str", "vals")
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
	// Each % may become two conversions.
	if f := m.charge(3*len(s) + 256*strings.Count(s, "%")); f != nil {
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

// take returns the next value of the list, or nil.
func (w *formatting) take() *thunk {
	if w.list == nil || w.next >= len(w.list.elements) {
		return nil
	}
	w.next++
	return w.list.elements[w.next-1]
}

// star evaluates a width or a precision that is among the values.
func (w *formatting) star(t *thunk, into *float64) (bool, *fault) {
	if t != nil {
		v, f := t.force(w.m)
		n, ok := v.(float64)
		if f != nil || !ok {
			return false, f
		}
		*into = n
	}
	if *into < 0 || *into != math.Floor(*into) {
		return false, nil
	}
	return true, w.m.charge(int(min(2**into, 1<<40)))
}

// add appends a conversion, and reports whether it could. It evaluates what the Jsonnet text does, in the
// same order.
func (w *formatting) add(c *conversion) (bool, *fault) {
	if c.letter == 0 {
		w.out = append(w.out, c.literal...)
		return true, nil
	}
	var starWidth, starPrecision *thunk
	if c.starWidth {
		if starWidth = w.take(); starWidth == nil {
			return false, nil
		}
	}
	if c.starPrecision {
		if starPrecision = w.take(); starPrecision == nil {
			return false, nil
		}
	}
	width, s := c.width, ""
	if !c.left {
		if ok, f := w.star(starWidth, &width); f != nil || !ok {
			return false, f
		}
	}
	s, ok, f := w.convert(c, width, starPrecision)
	if f != nil || !ok {
		return false, f
	}
	if c.left {
		if ok, f := w.star(starWidth, &width); f != nil || !ok {
			return false, f
		}
	}
	if f := w.m.charge(2 * len(s)); f != nil {
		return false, f
	}
	w.pad(s, width, c.left)
	return true, nil
}

func (w *formatting) pad(s string, width float64, left bool) {
	if left {
		w.out = append(w.out, s...)
	}
	if width > 0 {
		for range max(int(width)-utf8.RuneCountInString(s), 0) {
			w.out = append(w.out, ' ')
		}
	}
	if !left {
		w.out = append(w.out, s...)
	}
}

// field returns what the conversion is of, or nil.
func (w *formatting) field(c *conversion) (value, *fault) {
	if w.object == nil {
		if t := w.take(); t != nil {
			return t.force(w.m)
		}
		return nil, nil
	}
	if c.keyed {
		if _, has := w.object.hiding(c.key); has {
			return w.object.get(w.m, c.key)
		}
	}
	return nil, nil
}

func (w *formatting) convert(c *conversion, width float64, starPrecision *thunk) (string, bool, *fault) {
	if c.letter == '%' {
		return "%", true, nil
	}
	v, f := w.field(c)
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
	n := numeral{conversion: c, precision: c.precision}
	if ok, f := w.star(starPrecision, &n.precision); f != nil || !ok {
		return "", false, f
	}
	if c.zero && !c.left {
		n.zeros = width
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
