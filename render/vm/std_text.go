package vm

import "strings"

func strReplace(m *machine, str, from, to value) (value, *fault) {
	s, f := m.asString(str)
	if f != nil {
		return nil, f
	}
	old, f := m.asString(from)
	if f != nil {
		return nil, f
	}
	replacement, f := m.asString(to)
	if f != nil {
		return nil, f
	}
	if old == "" {
		return nil, fail("'from' string must not be zero length.")
	}
	if f := m.charge(len(s) + strings.Count(s, old)*len(replacement) + sizeText); f != nil {
		return nil, f
	}
	return newText(strings.ReplaceAll(s, old, replacement)), nil
}

// splitting checks the arguments of splitLimit and splitLimitR, and returns how many parts there are at most.
func splitting(m *machine, str, c, limit value, name string) (s, sep string, parts int, f *fault) {
	if s, f = m.asString(str); f != nil {
		return "", "", 0, f
	}
	if sep, f = m.asString(c); f != nil {
		return "", "", 0, f
	}
	n, f := asInt(limit)
	if f != nil {
		return "", "", 0, f
	}
	if n < -1 {
		return "", "", 0, failf("%s third parameter should be -1 or non-negative, got %v", name, n)
	}
	if sep == "" {
		return "", "", 0, fail(name + " second parameter should have length 1 or greater, got 0")
	}
	parts = strings.Count(s, sep) + 1
	if n >= 0 {
		parts = min(parts, n+1)
	}
	return s, sep, parts, m.charge(parts * (sizeThunk + sizeSlot + sizeText))
}

func splitLimit(m *machine, str, c, limit value) (value, *fault) {
	s, sep, parts, f := splitting(m, str, c, limit, "std.splitLimit")
	if f != nil {
		return nil, f
	}
	elements := make([]*thunk, parts)
	for i := range elements {
		part := s
		if i < parts-1 {
			part, s, _ = strings.Cut(s, sep)
		}
		elements[i] = ready(newText(part))
	}
	return newArray(elements), nil
}

func splitLimitR(m *machine, str, c, limit value) (value, *fault) {
	s, sep, parts, f := splitting(m, str, c, limit, "std.splitLimitR")
	if f != nil {
		return nil, f
	}
	elements := make([]*thunk, parts)
	for i := parts - 1; i > 0; i-- {
		at := strings.LastIndex(s, sep)
		elements[i] = ready(newText(s[at+len(sep):]))
		s = s[:at]
	}
	elements[0] = ready(newText(s))
	return newArray(elements), nil
}

func strip(m *machine, str, chars value, left, right bool) (value, *fault) {
	t, ok := str.(*text)
	if !ok {
		return nil, unexpected(str, "string")
	}
	n, f := t.length(m)
	if f != nil {
		return nil, f
	}
	from, to := 0, n
	for left && from < to {
		strips, f := m.stripsAt(t, from, chars)
		if f != nil {
			return nil, f
		}
		if !strips {
			break
		}
		from++
	}
	for right && from < to {
		strips, f := m.stripsAt(t, to-1, chars)
		if f != nil {
			return nil, f
		}
		if !strips {
			break
		}
		to--
	}
	if from == 0 && to == n {
		return t, nil
	}
	return t.cut(m, from, to)
}

func (m *machine) stripsAt(t *text, i int, chars value) (bool, *fault) {
	c, f := t.at(m, i)
	if f != nil {
		return false, f
	}
	return m.member(chars, c)
}

// member reports whether an array has an element, or a string a part.
func (m *machine) member(in, v value) (bool, *fault) {
	if f := m.tick(); f != nil {
		return false, f
	}
	switch in := in.(type) {
	case *text:
		part, f := m.asString(v)
		if f != nil {
			return false, f
		}
		s, f := in.flat(m)
		if f != nil {
			return false, f
		}
		return strings.Contains(s, part), m.work(len(s) >> 4)
	case *array:
		i, f := m.indexOf(in, v)
		return i >= 0, f
	default:
		return false, fail("std.member first argument must be an array or a string")
	}
}

// indexOf returns where an element is in an array, or -1.
func (m *machine) indexOf(in *array, v value) (int, *fault) {
	for i, t := range in.elements {
		element, f := t.force(m)
		if f != nil {
			return 0, f
		}
		equal, f := m.equal(element, v)
		if f == nil {
			f = m.tick()
		}
		if f != nil {
			return 0, f
		}
		if equal {
			return i, nil
		}
	}
	return -1, nil
}

// mapped is map, or mapWithIndex.
func mapped(withIndex bool) native {
	return func(m *machine, args []*thunk) (value, *fault) {
		callee, f := args[0].force(m)
		if f != nil {
			return nil, f
		}
		function, ok := callee.(*function)
		if !ok {
			return nil, nil
		}
		over, f := args[1].force(m)
		if f != nil {
			return nil, f
		}
		switch over.(type) {
		case *array, *text:
		default:
			return nil, nil
		}
		each, f := thunks(m, over, "")
		if f != nil {
			return nil, f
		}
		if f := m.charge(len(each) * (2*sizeThunk + 5*sizeSlot)); f != nil {
			return nil, f
		}
		elements := make([]*thunk, len(each))
		for i, t := range each {
			if withIndex {
				elements[i] = element(function, ready(number(float64(i))), t)
			} else {
				elements[i] = element(function, t)
			}
		}
		return newArray(elements), nil
	}
}

func flattenArrays(m *machine, args []*thunk) (value, *fault) {
	v, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	arrays, ok := v.(*array)
	if !ok {
		return nil, nil
	}
	var elements []*thunk
	for _, t := range arrays.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		part, ok := v.(*array)
		if !ok {
			return nil, nil
		}
		if f := m.charge(3 * sizeSlot * len(part.elements)); f != nil {
			return nil, f
		}
		elements = append(elements, part.elements...)
	}
	return newArray(elements), nil
}

func repeat(m *machine, args []*thunk) (value, *fault) {
	what, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	switch what.(type) {
	case *text, *array:
	default:
		return nil, nil
	}
	count, f := args[1].force(m)
	if f != nil {
		return nil, f
	}
	n, f := asInt(count)
	if f != nil {
		return nil, nil
	}
	n = max(n, 0)
	switch what := what.(type) {
	case *text:
		if n > 0 && what.size > maxText/n {
			return nil, limited(TooMuchMemory)
		}
		s, f := what.flat(m)
		if f != nil {
			return nil, f
		}
		if f := m.charge(len(s)*n + 16*n); f != nil {
			return nil, f
		}
		return newText(strings.Repeat(s, n)), nil
	case *array:
		if n > 0 && len(what.elements) > maxText/n {
			return nil, limited(TooMuchMemory)
		}
		if f := m.charge((len(what.elements) + 2) * n * sizeSlot); f != nil {
			return nil, f
		}
		elements := make([]*thunk, 0, len(what.elements)*n)
		for range n {
			elements = append(elements, what.elements...)
		}
		return newArray(elements), nil
	}
	return nil, nil
}
