package vm

import "math"

// value is what an expression evaluates to: null, bool, float64, *text, *array, *object or *function.
// It is never nil.
type value any

type null struct{}

// function is a closure, or one that is written in Go.
type function struct {
	proto *proto
	env   *env
}

// proto is what all closures of one function expression share.
type proto struct {
	params []param
	body   code
	// native stands in place of body. Arguments that weren't given are nil.
	native native
}

type native func(m *machine, args []*thunk) (value, *fault)

type param struct {
	name     string
	optional bool
	// byDefault gives the value of an argument that wasn't given. Natives have none.
	byDefault code
}

// env is a scope at run time: what its names are bound to, and the object that self is.
type env struct {
	up    *env
	slots []*thunk
	self  *object
	// layer is which of self's layers the code of this scope belongs to.
	layer int
}

// thunk is an expression that is evaluated when it is needed, once.
type thunk struct {
	v   value
	run code
	env *env
}

func ready(v value) *thunk { return &thunk{v: v} }

func (t *thunk) force(m *machine) (value, *fault) {
	if t.v != nil {
		return t.v, nil
	}
	if f := m.enter(); f != nil {
		return nil, f
	}
	v, f := t.run(m, t.env)
	m.depth--
	if f != nil {
		return nil, f
	}
	t.v, t.run, t.env = v, nil, nil
	return v, nil
}

// array may share its elements' room with the array that it was appended to: used tells how far the
// room is taken.
type array struct {
	elements []*thunk
	used     *int
}

func newArray(elements []*thunk) *array { return &array{elements: elements} }

// appended is a + b. Where a is the last to have grown in its room, b goes behind it without a copy.
func (m *machine) appended(a, b *array) (value, *fault) {
	n := len(a.elements) + len(b.elements)
	if a.used != nil && *a.used == len(a.elements) && cap(a.elements) >= n {
		*a.used = n
		return &array{append(a.elements, b.elements...), a.used}, m.tick()
	}
	room := n
	if a.used != nil || len(a.elements) > 16 {
		room += n / 2
	}
	if f := m.charge(room*sizeSlot + sizeArray); f != nil {
		return nil, f
	}
	elements := make([]*thunk, 0, room)
	elements = append(append(elements, a.elements...), b.elements...)
	return &array{elements, &n}, nil
}

const smallNumbers = 1024

var numbers = func() (n [smallNumbers]value) {
	for i := range n {
		n[i] = float64(i)
	}
	return n
}()

// number boxes a float; small whole ones are boxed already.
func number(x float64) value {
	if x >= 0 && x < smallNumbers {
		if i := int(x); float64(i) == x && (i > 0 || !math.Signbit(x)) {
			return numbers[i]
		}
	}
	return x
}

// checked is the result of arithmetic.
func checked(x float64) (value, *fault) {
	switch {
	case math.IsNaN(x):
		return nil, fail("Not a number")
	case math.IsInf(x, 0):
		return nil, fail("Overflow")
	}
	return number(x), nil
}

func typeName(v value) string {
	switch v.(type) {
	case null:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case *text:
		return "string"
	case *array:
		return "array"
	case *object:
		return "object"
	default:
		return "function"
	}
}

func unexpected(v value, expected string) *fault {
	return fail("Unexpected type " + typeName(v) + ", expected " + expected)
}

func asNumber(v value) (float64, *fault) {
	if x, ok := v.(float64); ok {
		return x, nil
	}
	return 0, unexpected(v, "number")
}

// asInt takes what fits into 32 bits, as the reference does.
func asInt(v value) (int, *fault) {
	x, f := asNumber(v)
	if f != nil {
		return 0, f
	}
	n := int(int32(x))
	if float64(n) != x {
		return 0, failf("Expected an integer, but got %v", x)
	}
	return n, nil
}

func asBool(v value) (bool, *fault) {
	if x, ok := v.(bool); ok {
		return x, nil
	}
	return false, unexpected(v, "boolean")
}

func asText(v value) (*text, *fault) {
	if x, ok := v.(*text); ok {
		return x, nil
	}
	return nil, unexpected(v, "string")
}

// asString is asText, flat. Whoever asks for the letters will go through them.
func (m *machine) asString(v value) (string, *fault) {
	t, f := asText(v)
	if f != nil {
		return "", f
	}
	s, f := t.flat(m)
	if f != nil {
		return "", f
	}
	return s, m.work(len(s) >> 6)
}

func asArray(v value) (*array, *fault) {
	if x, ok := v.(*array); ok {
		return x, nil
	}
	return nil, unexpected(v, "array")
}

func asObject(v value) (*object, *fault) {
	if x, ok := v.(*object); ok {
		return x, nil
	}
	return nil, unexpected(v, "object")
}

func asFunction(v value) (*function, *fault) {
	if x, ok := v.(*function); ok {
		return x, nil
	}
	return nil, unexpected(v, "function")
}
