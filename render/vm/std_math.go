package vm

import (
	"math"
	"strconv"
)

func init() {
	for name, op := range map[string]func(float64) float64{
		"ceil": math.Ceil, "floor": math.Floor, "sqrt": math.Sqrt, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan,
		"asin": math.Asin, "acos": math.Acos, "atan": math.Atan, "log": math.Log, "round": math.Round,
		"exp": func(x float64) float64 {
			y := math.Exp(x)
			if y == 0 && x > 0 {
				return math.Inf(1)
			}
			return y
		},
		"mantissa": func(x float64) float64 { y, _ := math.Frexp(x); return y },
		"exponent": func(x float64) float64 { _, y := math.Frexp(x); return float64(y) },
	} {
		strict1(name, func(_ *machine, v value) (value, *fault) {
			x, f := asNumber(v)
			if f != nil {
				return nil, f
			}
			return checked(op(x))
		}, "x")
	}
}

func init() {
	for name, test := range map[string]func(whole, rest float64) bool{
		"isEven":    func(whole, _ float64) bool { return math.Mod(whole, 2) == 0 },
		"isOdd":     func(whole, _ float64) bool { return math.Mod(whole, 2) != 0 },
		"isInteger": func(_, rest float64) bool { return rest == 0 },
		"isDecimal": func(_, rest float64) bool { return rest != 0 },
	} {
		strict1(name, func(_ *machine, v value) (value, *fault) {
			x, f := asNumber(v)
			return test(math.Modf(x)), f
		}, "x")
	}
}

func init() {
	strict2("hypot", arithmetic(math.Hypot), "x", "y")
	strict2("atan2", arithmetic(math.Atan2), "y", "x")
	strict2("pow", arithmetic(math.Pow), "x", "n")
	strict2("modulo", func(_ *machine, x, y value) (value, *fault) { return division(x, y, math.Mod) }, "x", "y")
	strict2("xor", logic(func(a, b bool) bool { return a != b }), "x", "y")
	strict2("xnor", logic(func(a, b bool) bool { return a == b }), "x", "y")
	strict1("sum", func(m *machine, v value) (value, *fault) {
		sum, _, f := total(m, v)
		return number(sum), f
	}, "arr")
	strict1("avg", func(m *machine, v value) (value, *fault) {
		a, f := asArray(v)
		if f != nil {
			return nil, f
		}
		if len(a.elements) == 0 {
			return nil, fail("Cannot calculate average of an empty array.")
		}
		sum, n, f := total(m, v)
		return number(sum / float64(n)), f
	}, "arr")
	strict1("parseInt", func(m *machine, v value) (value, *fault) {
		s, f := m.asString(v)
		if f != nil {
			return nil, f
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fail(s + " is not a base 10 integer")
		}
		return number(float64(n)), nil
	}, "str")
	quick("abs", onNumbers(func(x, _ float64) float64 {
		if x > 0 {
			return x
		}
		return -x // of 0 too
	}), "n")
	quick("max", onNumbers(func(x, y float64) float64 {
		if x > y {
			return x
		}
		return y
	}), "a", "b")
	quick("min", onNumbers(func(x, y float64) float64 {
		if x < y {
			return x
		}
		return y
	}), "a", "b")
	quick("mod", mod, "a", "b")
}

func logic(op func(a, b bool) bool) binary {
	return func(_ *machine, x, y value) (value, *fault) {
		a, f := asBool(x)
		if f != nil {
			return nil, f
		}
		b, f := asBool(y)
		return op(a, b), f
	}
}

func total(m *machine, v value) (float64, int, *fault) {
	a, f := asArray(v)
	if f != nil {
		return 0, 0, f
	}
	sum := 0.0
	for _, t := range a.elements {
		v, f := t.force(m)
		if f != nil {
			return 0, 0, f
		}
		x, f := asNumber(v)
		if f != nil {
			return 0, 0, f
		}
		sum += x
	}
	return sum, len(a.elements), m.work(len(a.elements) >> 2)
}

// onNumbers leaves all but numbers, one after the other, to the Jsonnet text.
func onNumbers(op func(x, y float64) float64) native {
	return func(m *machine, args []*thunk) (value, *fault) {
		var x [2]float64
		for i, t := range args {
			v, f := t.force(m)
			if f != nil {
				return nil, f
			}
			n, ok := v.(float64)
			if !ok {
				return nil, nil
			}
			x[i] = n
		}
		return number(op(x[0], x[1])), nil
	}
}

// mod is the operator %.
func mod(m *machine, args []*thunk) (value, *fault) {
	left, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	switch left := left.(type) {
	case *text:
		return m.call(natives["format"], args, nil)
	case float64:
		right, f := args[1].force(m)
		if f != nil {
			return nil, f
		}
		if _, ok := right.(float64); ok {
			return division(left, right, math.Mod)
		}
	}
	return nil, nil
}
