package vm

import (
	"math"

	"github.com/google/go-jsonnet/ast"
)

type binary func(m *machine, x, y value) (value, *fault)

// binaries are the operators but && and ||, which don't need both sides, and % and in, which are
// calls when they come here.
var binaries map[ast.BinaryOp]binary

func init() {
	binaries = map[ast.BinaryOp]binary{
		ast.BopPlus:  (*machine).plus,
		ast.BopMinus: arithmetic(func(x, y float64) float64 { return x - y }),
		ast.BopMult:  arithmetic(func(x, y float64) float64 { return x * y }),
		ast.BopDiv: func(_ *machine, x, y value) (value, *fault) {
			return division(x, y, func(x, y float64) float64 { return x / y })
		},
		ast.BopShiftL:     bitwise(func(x, y int64) int64 { return x << uint(y%64) }, true),
		ast.BopShiftR:     bitwise(func(x, y int64) int64 { return x >> uint(y%64) }, true),
		ast.BopBitwiseAnd: bitwise(func(x, y int64) int64 { return x & y }, false),
		ast.BopBitwiseOr:  bitwise(func(x, y int64) int64 { return x | y }, false),
		ast.BopBitwiseXor: bitwise(func(x, y int64) int64 { return x ^ y }, false),
		ast.BopGreater:    comparison(func(c int) bool { return c > 0 }),
		ast.BopGreaterEq:  comparison(func(c int) bool { return c >= 0 }),
		ast.BopLess:       comparison(func(c int) bool { return c < 0 }),
		ast.BopLessEq:     comparison(func(c int) bool { return c <= 0 }),
		ast.BopManifestEqual: func(m *machine, x, y value) (value, *fault) {
			equal, f := m.equal(x, y)
			return equal, f
		},
		ast.BopManifestUnequal: func(m *machine, x, y value) (value, *fault) {
			equal, f := m.equal(x, y)
			return !equal, f
		},
	}
}

func unary(op ast.UnaryOp) func(v value) (value, *fault) {
	if op == ast.UopNot {
		return func(v value) (value, *fault) {
			b, f := asBool(v)
			return !b, f
		}
	}
	return func(v value) (value, *fault) {
		x, f := asNumber(v)
		if f != nil {
			return nil, f
		}
		switch op {
		case ast.UopBitwiseNot:
			return number(float64(^int64(x))), nil
		case ast.UopMinus:
			return number(-x), nil
		default:
			return number(x), nil
		}
	}
}

func (m *machine) plus(x, y value) (value, *fault) {
	if right, ok := y.(*text); ok {
		left, f := m.toText(x)
		if f != nil {
			return nil, f
		}
		return m.concat(left, right)
	}
	switch left := x.(type) {
	case float64:
		right, f := asNumber(y)
		if f != nil {
			return nil, f
		}
		return checked(left + right)
	case *text:
		right, f := m.toText(y)
		if f != nil {
			return nil, f
		}
		return m.concat(left, right)
	case *object:
		right, f := asObject(y)
		if f != nil {
			return nil, f
		}
		return m.extended(left, right)
	case *array:
		right, f := asArray(y)
		if f != nil {
			return nil, f
		}
		return m.appended(left, right)
	default:
		return nil, fail("Unexpected type " + typeName(x))
	}
}

func asNumbers(x, y value) (float64, float64, *fault) {
	a, f := asNumber(x)
	if f != nil {
		return 0, 0, f
	}
	b, f := asNumber(y)
	return a, b, f
}

func arithmetic(op func(x, y float64) float64) binary {
	return func(_ *machine, x, y value) (value, *fault) {
		a, b, f := asNumbers(x, y)
		if f != nil {
			return nil, f
		}
		return checked(op(a, b))
	}
}

func division(x, y value, op func(x, y float64) float64) (value, *fault) {
	a, b, f := asNumbers(x, y)
	if f != nil {
		return nil, f
	}
	if b == 0 {
		return nil, fail("Division by zero.")
	}
	return checked(op(a, b))
}

const safe = 1<<53 - 1

func bitwise(op func(x, y int64) int64, shift bool) binary {
	return func(_ *machine, x, y value) (value, *fault) {
		a, b, f := asNumbers(x, y)
		if f != nil {
			return nil, f
		}
		for _, n := range []float64{a, b} {
			if math.Abs(n) > safe {
				return nil, failf("Bitwise operator argument %v outside of range [%v, %v]", n, int64(-safe), int64(safe))
			}
		}
		if shift && b < 0 {
			return nil, fail("Shift by negative exponent.")
		}
		return checked(float64(op(int64(a), int64(b))))
	}
}

func comparison(holds func(c int) bool) binary {
	return func(m *machine, x, y value) (value, *fault) {
		c, f := m.compare(x, y)
		if f != nil {
			return nil, f
		}
		return holds(c), nil
	}
}

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
