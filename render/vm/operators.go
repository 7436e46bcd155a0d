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
