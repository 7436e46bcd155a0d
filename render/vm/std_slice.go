package vm

import (
	"math"
)

// slice is s[index:end:step] where those are whole or null, and step more than 0.
func slice(m *machine, args []*thunk) (value, *fault) {
	step, ok, f := bound(m, args[3], 1)
	if f != nil || !ok || step < 1 {
		return nil, f
	}
	v, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	length := 0
	switch of := v.(type) {
	case *text:
		length, f = of.length(m)
	case *array:
		length = len(of.elements)
	default:
		return nil, nil
	}
	if f != nil {
		return nil, f
	}
	from, ok, f := bound(m, args[1], 0)
	if f != nil || !ok {
		return nil, f
	}
	to, ok, f := bound(m, args[2], length)
	if f != nil || !ok {
		return nil, f
	}
	if from < 0 {
		from = max(0, length+from)
	}
	if to < 0 {
		to += length
	}
	to = min(to, length)
	return cut(m, v, from, max(from, to), step)
}

// bound evaluates an argument of slice: it is a whole number, or null.
func bound(m *machine, t *thunk, byDefault int) (int, bool, *fault) {
	v, f := t.force(m)
	if f != nil {
		return 0, false, f
	}
	switch n := v.(type) {
	case null:
		return byDefault, true, nil
	case float64:
		return int(n), n == math.Floor(n) && math.Abs(n) < 1<<30, nil
	}
	return 0, false, nil
}

func cut(m *machine, v value, from, to, step int) (value, *fault) {
	if a, ok := v.(*array); ok {
		if f := m.charge(sizeSlot * (to - from)); f != nil {
			return nil, f
		}
		elements := make([]*thunk, 0, (to-from+step-1)/step)
		for i := from; i < to; i += step {
			elements = append(elements, a.elements[i])
		}
		return newArray(elements), nil
	}
	t := v.(*text)
	if length, _ := t.length(m); from >= length {
		return empty, nil
	}
	if step == 1 {
		return t.cut(m, from, to)
	}
	runes, f := t.letters(m)
	if f != nil {
		return nil, f
	}
	n := (to - from + step - 1) / step
	if f := m.charge(4*n + sizeText); f != nil {
		return nil, f
	}
	out := make([]rune, 0, n)
	for i := from; i < to; i += step {
		out = append(out, runes[i])
	}
	return m.say(string(out))
}
