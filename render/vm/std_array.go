package vm

import (
	"unicode/utf8"
)

func init() {
	strict2("makeArray", makeArray, "sz", "func")
	strict2("range", makeRange, "from", "to")
	strict2("flatMap", flatMap, "func", "arr")
	strict2("$flatMapArray", func(m *machine, callee, arr value) (value, *fault) {
		if _, f := asArray(arr); f != nil {
			return nil, f
		}
		return flatMap(m, callee, arr)
	}, "func", "arr")
	strict1("reverse", reverse, "arr")
	strict2("filter", filter, "func", "arr")
	strict3("foldl", func(m *machine, callee, arr, start value) (value, *fault) {
		return fold(m, callee, arr, start, "foldl", false)
	}, "func", "arr", "init")
	strict3("foldr", func(m *machine, callee, arr, start value) (value, *fault) {
		return fold(m, callee, arr, start, "foldr", true)
	}, "func", "arr", "init")
	lazy("sort", sorted, "arr", "keyF?")
	lazy("minArray", func(m *machine, args []*thunk) (value, *fault) { return extreme(m, args, 1) },
		"arr", "keyF?", "onEmpty?")
	lazy("maxArray", func(m *machine, args []*thunk) (value, *fault) { return extreme(m, args, -1) },
		"arr", "keyF?", "onEmpty?")
	quick("map", mapped(false), "func", "arr")
	quick("mapWithIndex", mapped(true), "func", "arr")
	quick("flattenArrays", flattenArrays, "arrs")
	quick("repeat", repeat, "what", "count")
}

// element is what makeArray and map put into an array: a call that is made when it is needed.
func element(callee *function, args ...*thunk) *thunk {
	return &thunk{run: func(m *machine, _ *env) (value, *fault) { return m.call(callee, args, nil) }}
}

func makeArray(m *machine, size, callee value) (value, *fault) {
	n, f := asInt(size)
	if f != nil {
		return nil, f
	}
	function, f := asFunction(callee)
	if f != nil {
		return nil, f
	}
	n = max(n, 0)
	if f := m.charge(n * (2*sizeThunk + 5*sizeSlot)); f != nil {
		return nil, f
	}
	elements := make([]*thunk, n)
	for i := range elements {
		elements[i] = element(function, ready(number(float64(i))))
	}
	return newArray(elements), nil
}

func makeRange(m *machine, from, to value) (value, *fault) {
	first, f := asInt(from)
	if f != nil {
		return nil, f
	}
	last, f := asInt(to)
	if f != nil {
		return nil, f
	}
	n := max(last-first+1, 0)
	if f := m.charge(n * (sizeThunk + 2*sizeSlot)); f != nil {
		return nil, f
	}
	thunks, elements := make([]thunk, n), make([]*thunk, n)
	for i := range elements {
		thunks[i].v = number(float64(first + i))
		elements[i] = &thunks[i]
	}
	return newArray(elements), nil
}

func flatMap(m *machine, callee, over value) (value, *fault) {
	function, f := asFunction(callee)
	if f != nil {
		return nil, f
	}
	switch over := over.(type) {
	case *array:
		return flatMapArray(m, function, over)
	case *text:
		s, f := over.flat(m)
		if f != nil {
			return nil, f
		}
		var out []byte
		for _, r := range s {
			v, f := m.call(function, []*thunk{ready(letter(r))}, nil)
			if f != nil {
				return nil, f
			}
			part, f := m.asString(v)
			if f != nil {
				return nil, f
			}
			if f := m.charge(4 * len(part)); f != nil {
				return nil, f
			}
			out = append(grown(out, len(part)), part...)
		}
		return newText(string(out)), nil
	default:
		return nil, fail("std.flatMap second param must be array / string, got " + typeName(over))
	}
}

func flatMapArray(m *machine, function *function, over *array) (value, *fault) {
	if f := m.charge(sizeSlot * len(over.elements)); f != nil {
		return nil, f
	}
	elements := make([]*thunk, 0, len(over.elements))
	for _, t := range over.elements {
		v, f := m.call(function, []*thunk{t}, nil)
		if f != nil {
			return nil, f
		}
		part, f := asArray(v)
		if f != nil {
			return nil, f
		}
		if f := m.charge(3 * sizeSlot * len(part.elements)); f != nil {
			return nil, f
		}
		elements = append(elements, part.elements...)
	}
	return newArray(elements), nil
}

func reverse(m *machine, v value) (value, *fault) {
	a, f := asArray(v)
	if f != nil {
		return nil, f
	}
	n := len(a.elements)
	if f := m.charge(n * sizeSlot); f != nil {
		return nil, f
	}
	elements := make([]*thunk, n)
	for i := range elements {
		elements[i] = a.elements[n-1-i]
	}
	return newArray(elements), nil
}

func filter(m *machine, callee, over value) (value, *fault) {
	a, f := asArray(over)
	if f != nil {
		return nil, f
	}
	function, f := asFunction(callee)
	if f != nil {
		return nil, f
	}
	var elements []*thunk
	for _, t := range a.elements {
		v, f := m.call(function, []*thunk{t}, nil)
		if f != nil {
			return nil, f
		}
		take, f := asBool(v)
		if f != nil {
			return nil, f
		}
		if take {
			if f := m.charge(3 * sizeSlot); f != nil {
				return nil, f
			}
			elements = append(elements, t)
		}
	}
	return newArray(elements), nil
}

// thunks returns the elements of an array, or the letters of a string.
func thunks(m *machine, v value, name string) ([]*thunk, *fault) {
	switch v := v.(type) {
	case *array:
		return v.elements, nil
	case *text:
		s, f := v.flat(m)
		if f != nil {
			return nil, f
		}
		if f := m.charge(len(s) * (sizeThunk + 2*sizeSlot)); f != nil {
			return nil, f
		}
		elements := make([]*thunk, 0, utf8.RuneCountInString(s))
		for _, r := range s {
			elements = append(elements, ready(letter(r)))
		}
		return elements, nil
	default:
		return nil, fail(name + " second parameter should be string or array, got " + typeName(v))
	}
}

func fold(m *machine, callee, over, start value, name string, fromRight bool) (value, *fault) {
	function, f := asFunction(callee)
	if f != nil {
		return nil, f
	}
	elements, f := thunks(m, over, name)
	if f != nil {
		return nil, f
	}
	v := start
	for i := range elements {
		args := []*thunk{ready(v), elements[i]}
		if fromRight {
			args = []*thunk{elements[len(elements)-1-i], ready(v)}
		}
		if v, f = m.call(function, args, nil); f != nil {
			return nil, f
		}
	}
	return v, nil
}
