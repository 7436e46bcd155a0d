package vm

import (
	"sort"
)

// keyed returns the arguments of sort, minArray and maxArray, and the key of each element.
func keyed(m *machine, args []*thunk) (a *array, key func(t *thunk) (value, *fault), rest value, f *fault) {
	var v [3]value
	if f := evaluated(m, args, v[:len(args)]); f != nil {
		return nil, nil, nil, f
	}
	if a, f = asArray(v[0]); f != nil {
		return nil, nil, nil, f
	}
	key = func(t *thunk) (value, *fault) { return t.force(m) }
	if v[1] != nil {
		function, f := asFunction(v[1])
		if f != nil {
			return nil, nil, nil, f
		}
		key = func(t *thunk) (value, *fault) { return m.call(function, []*thunk{t}, nil) }
	}
	return a, key, v[2], nil
}

func sorted(m *machine, args []*thunk) (value, *fault) {
	a, key, _, f := keyed(m, args)
	if f != nil {
		return nil, f
	}
	type pair struct {
		key   value
		thunk *thunk
	}
	if f := m.charge(len(a.elements) * 4 * sizeSlot); f != nil {
		return nil, f
	}
	pairs := make([]pair, len(a.elements))
	for i, t := range a.elements {
		k, f := key(t)
		if f != nil {
			return nil, f
		}
		pairs[i] = pair{k, t}
	}
	var failed *fault
	sort.SliceStable(pairs, func(i, j int) bool {
		if failed == nil {
			failed = m.tick()
		}
		if failed != nil {
			return false
		}
		c, f := m.compare(pairs[i].key, pairs[j].key)
		failed = f
		return c < 0
	})
	if failed != nil {
		return nil, failed
	}
	elements := make([]*thunk, len(pairs))
	for i := range pairs {
		elements[i] = pairs[i].thunk
	}
	return newArray(elements), nil
}

// extreme is minArray, or maxArray with the other sign.
func extreme(m *machine, args []*thunk, sign int) (value, *fault) {
	a, key, onEmpty, f := keyed(m, args)
	if f != nil {
		return nil, f
	}
	if len(a.elements) == 0 {
		if onEmpty == nil {
			return nil, fail("Expected at least one element in array. Got none")
		}
		return onEmpty, nil
	}
	var best, bestKey value
	for i, t := range a.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		k, f := key(t)
		if f != nil {
			return nil, f
		}
		c := 1
		if i > 0 {
			if c, f = m.compare(bestKey, k); f != nil {
				return nil, f
			}
			c *= sign
		}
		if c > 0 {
			best, bestKey = v, k
		}
	}
	return best, nil
}
