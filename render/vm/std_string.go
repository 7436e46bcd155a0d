package vm

import (
	"math"
	"strings"
	"unicode/utf8"
)

func init() {
	strict2("join", join, "sep", "arr")
	strict3("substr", substr, "str", "from", "len")
	strict3("splitLimit", splitLimit, "str", "c", "maxsplits")
	strict3("splitLimitR", splitLimitR, "str", "c", "maxsplits")
	strict3("strReplace", strReplace, "str", "from", "to")
	strict2("lstripChars", func(m *machine, s, chars value) (value, *fault) { return strip(m, s, chars, true, false) },
		"str", "chars")
	strict2("rstripChars", func(m *machine, s, chars value) (value, *fault) { return strip(m, s, chars, false, true) },
		"str", "chars")
	strict2("stripChars", func(m *machine, s, chars value) (value, *fault) { return strip(m, s, chars, true, true) },
		"str", "chars")
	strict1("trim", func(m *machine, v value) (value, *fault) { return m.onString(v, strings.TrimSpace) }, "str")
	strict1("isEmpty", func(_ *machine, v value) (value, *fault) {
		t, f := asText(v)
		if f != nil {
			return nil, f
		}
		return t.size == 0, nil
	}, "str")
	strict2("equalsIgnoreCase", func(m *machine, a, b value) (value, *fault) {
		x, f := m.asString(a)
		if f != nil {
			return nil, f
		}
		y, f := m.asString(b)
		return strings.EqualFold(x, y), f
	}, "str1", "str2")
	quick("escapeStringXML", escapeXML, "str_")
	quick("asciiUpper", func(m *machine, args []*thunk) (value, *fault) { return ascii(m, args, 'a', 'z') }, "str")
	quick("asciiLower", func(m *machine, args []*thunk) (value, *fault) { return ascii(m, args, 'A', 'Z') }, "str")
	quick("startsWith", func(m *machine, args []*thunk) (value, *fault) { return within(m, args, strings.HasPrefix) },
		"a", "b")
	quick("endsWith", func(m *machine, args []*thunk) (value, *fault) { return within(m, args, strings.HasSuffix) },
		"a", "b")
	quick("stringChars", func(m *machine, args []*thunk) (value, *fault) {
		v, f := args[0].force(m)
		if f != nil {
			return nil, f
		}
		if _, ok := v.(*text); !ok {
			return nil, nil
		}
		elements, f := thunks(m, v, "")
		return newArray(elements), f
	}, "str")
	quick("findSubstr", findSubstr, "pat", "str")
	quick("slice", slice, "indexable", "index", "end", "step")
}

func (m *machine) onString(v value, change func(string) string) (value, *fault) {
	s, f := m.asString(v)
	if f == nil {
		f = m.charge(len(s) + 3*sizeText) // a hash has 128 letters
	}
	if f != nil {
		return nil, f
	}
	return newText(change(s)), nil
}

func join(m *machine, sep, arr value) (value, *fault) {
	a, f := asArray(arr)
	if f != nil {
		return nil, f
	}
	switch sep := sep.(type) {
	case *text:
		return joinTexts(m, sep, a)
	case *array:
		return joinArrays(m, sep, a)
	default:
		return nil, fail("join first parameter should be string or array, got " + typeName(sep))
	}
}

func joinTexts(m *machine, sep *text, a *array) (value, *fault) {
	between, f := sep.flat(m)
	if f != nil {
		return nil, f
	}
	if f := m.charge(16 * len(a.elements)); f != nil {
		return nil, f
	}
	parts, size := make([]string, 0, len(a.elements)), 0
	for _, t := range a.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		if _, skipped := v.(null); skipped {
			continue
		}
		part, f := m.asString(v)
		if f != nil {
			return nil, f
		}
		parts, size = append(parts, part), size+len(part)+len(between)
	}
	if f := m.charge(size + sizeText); f != nil {
		return nil, f
	}
	return newText(strings.Join(parts, between)), nil
}

func joinArrays(m *machine, sep, a *array) (value, *fault) {
	var elements []*thunk
	first := true
	for _, t := range a.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		if _, skipped := v.(null); skipped {
			continue
		}
		part, f := asArray(v)
		if f != nil {
			return nil, f
		}
		if f := m.charge(3 * sizeSlot * (len(part.elements) + len(sep.elements))); f != nil {
			return nil, f
		}
		if !first {
			elements = append(elements, sep.elements...)
		}
		elements = append(elements, part.elements...)
		first = false
	}
	return newArray(elements), nil
}

func substr(m *machine, str, from, length value) (value, *fault) {
	t, ok := str.(*text)
	if !ok {
		return nil, fail("substr first parameter should be a string, got " + typeName(str))
	}
	start, ok := from.(float64)
	switch {
	case !ok:
		return nil, fail("substr second parameter should be a number, got " + typeName(from))
	case math.Mod(start, 1) != 0:
		return nil, failf("substr second parameter should be an integer, got %f", start)
	case start < 0:
		return nil, failf("substr second parameter should be greater than zero, got %f", start)
	}
	size, ok := length.(float64)
	if !ok {
		return nil, fail("substr third parameter should be a number, got " + typeName(length))
	}
	n, f := asInt(length)
	if f != nil {
		return nil, failf("substr third parameter should be an integer, got %f", size)
	}
	if n < 0 {
		return nil, failf("substr third parameter should be greater than zero, got %d", n)
	}
	total, f := t.length(m)
	if f != nil {
		return nil, f
	}
	if start >= float64(total) {
		return empty, nil
	}
	return t.cut(m, int(start), min(int(start)+n, total))
}

func escapeXML(m *machine, args []*thunk) (value, *fault) {
	v, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	s, f := m.toString(v)
	if f != nil {
		return nil, f
	}
	if f := m.work(len(s) >> 4); f != nil {
		return nil, f
	}
	if !strings.ContainsAny(s, `<>&"'`) {
		return newText(s), m.charge(sizeText)
	}
	// An escaped letter has six bytes at most.
	if f := m.charge(6 * len(s)); f != nil {
		return nil, f
	}
	return newText(xmlEscapes.Replace(s)), nil
}

var xmlEscapes = strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", `"`, "&quot;", "'", "&apos;")

// ascii turns the case of the letters from first to last.
func ascii(m *machine, args []*thunk, first, last byte) (value, *fault) {
	v, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	t, ok := v.(*text)
	if !ok {
		return nil, nil
	}
	s, f := t.flat(m)
	if f != nil {
		return nil, f
	}
	if f := m.charge(2 * len(s)); f != nil {
		return nil, f
	}
	out := []byte(s)
	for i, c := range out {
		if c >= first && c <= last {
			out[i] = c ^ 0x20
		}
	}
	return newText(string(out)), nil
}

// twoTexts returns two arguments. The second one isn't evaluated where the first one is no string.
func twoTexts(m *machine, args []*thunk) (x, y string, ok bool, f *fault) {
	var s [2]string
	for i := range s {
		v, f := args[i].force(m)
		if f != nil {
			return "", "", false, f
		}
		t, ok := v.(*text)
		if !ok {
			return "", "", false, nil
		}
		if s[i], f = t.flat(m); f != nil {
			return "", "", false, f
		}
	}
	return s[0], s[1], true, nil
}

func within(m *machine, args []*thunk, test func(a, b string) bool) (value, *fault) {
	a, b, ok, f := twoTexts(m, args)
	if f != nil || !ok {
		return nil, f
	}
	return test(a, b), m.work(min(len(a), len(b)) >> 4)
}

// findSubstr returns where a pattern begins, overlaps included.
func findSubstr(m *machine, args []*thunk) (value, *fault) {
	p, s, ok, f := twoTexts(m, args)
	if f != nil || !ok {
		return nil, f
	}
	if p == "" {
		return newArray(nil), nil
	}
	if f := m.work(len(s) >> 4); f != nil {
		return nil, f
	}
	var elements []*thunk
	for at, letters := 0, 0; ; {
		i := strings.Index(s[at:], p)
		if i < 0 {
			return newArray(elements), nil
		}
		letters += utf8.RuneCountInString(s[at : at+i])
		elements = append(elements, ready(number(float64(letters))))
		_, size := utf8.DecodeRuneInString(s[at+i:])
		at, letters = at+i+size, letters+1
		if f := m.charge(sizeThunk + 3*sizeSlot + len(p)); f != nil {
			return nil, f
		}
	}
}
