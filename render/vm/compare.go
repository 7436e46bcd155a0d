package vm

// compare returns -1, 0 or 1.
func (m *machine) compare(x, y value) (int, *fault) {
	switch left := x.(type) {
	case float64:
		right, f := asNumber(y)
		switch {
		case f != nil:
			return 0, f
		case left < right:
			return -1, nil
		case left > right:
			return 1, nil
		}
		return 0, nil
	case *text:
		right, f := asText(y)
		if f != nil {
			return 0, f
		}
		return compareTexts(m, left, right)
	case *array:
		right, f := asArray(y)
		if f != nil {
			return 0, f
		}
		return m.compareArrays(left, right)
	default:
		return 0, fail("Unexpected type " + typeName(x))
	}
}

func (m *machine) compareArrays(x, y *array) (int, *fault) {
	if f := m.enter(); f != nil {
		return 0, f
	}
	defer func() { m.depth-- }()
	for i := range min(len(x.elements), len(y.elements)) {
		c, f := m.pairwise(x.elements[i], y.elements[i], m.compare)
		if f != nil || c != 0 {
			return c, f
		}
	}
	switch {
	case len(x.elements) < len(y.elements):
		return -1, nil
	case len(x.elements) > len(y.elements):
		return 1, nil
	}
	return 0, nil
}

func (m *machine) pairwise(x, y *thunk, op func(x, y value) (int, *fault)) (int, *fault) {
	if f := m.tick(); f != nil {
		return 0, f
	}
	a, f := x.force(m)
	if f != nil {
		return 0, f
	}
	b, f := y.force(m)
	if f != nil {
		return 0, f
	}
	return op(a, b)
}

func (m *machine) equal(x, y value) (bool, *fault) {
	if typeName(x) != typeName(y) {
		return false, nil
	}
	switch left := x.(type) {
	case *text:
		right := y.(*text)
		if left.size != right.size {
			return false, nil
		}
		c, f := compareTexts(m, left, right)
		return c == 0, f
	case *array:
		return m.equalArrays(left, y.(*array))
	case *object:
		return m.equalObjects(left, y.(*object))
	case *function:
		return false, fail("Cannot test equality of functions")
	default:
		return x == y, nil
	}
}

func (m *machine) equalArrays(x, y *array) (bool, *fault) {
	if len(x.elements) != len(y.elements) {
		return false, nil
	}
	if f := m.enter(); f != nil {
		return false, f
	}
	defer func() { m.depth-- }()
	for i := range x.elements {
		equal := false
		_, f := m.pairwise(x.elements[i], y.elements[i], func(x, y value) (_ int, f *fault) {
			equal, f = m.equal(x, y)
			return 0, f
		})
		if f != nil || !equal {
			return false, f
		}
	}
	return true, nil
}

func (m *machine) equalObjects(x, y *object) (bool, *fault) {
	names, f := x.names(m, false)
	if f != nil {
		return false, f
	}
	others, f := y.names(m, false)
	if f != nil {
		return false, f
	}
	if len(names) != len(others) {
		return false, nil
	}
	for i := range names {
		if names[i] != others[i] {
			return false, nil
		}
	}
	if f := m.enter(); f != nil {
		return false, f
	}
	defer func() { m.depth-- }()
	for _, name := range names {
		a, f := x.get(m, name)
		if f != nil {
			return false, f
		}
		b, f := y.get(m, name)
		if f != nil {
			return false, f
		}
		if equal, f := m.equal(a, b); f != nil || !equal {
			return false, f
		}
	}
	return true, nil
}
