package vm

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// resulting makes Go values of a program's result, as encoding/json decodes with UseNumber. Its strings are those of
// the evaluation.
type resulting struct {
	m *machine
	// size is how long the result is as JSON, so far.
	size int
}

func (r *resulting) of(v value) (any, *fault) {
	if f := r.m.enter(); f != nil {
		return nil, f
	}
	data, f := r.nested(v)
	r.m.depth--
	return data, f
}

func (r *resulting) nested(v value) (any, *fault) {
	switch v := v.(type) {
	case null:
		return nil, r.pay(len("null"))
	case bool:
		return v, r.pay(len(strconv.FormatBool(v)))
	case float64:
		n := json.Number(appendNumber(nil, v))
		return n, r.pay(len(n))
	case *text:
		s, f := v.flat(r.m)
		if f == nil {
			f = r.pay(quotedSize(s))
		}
		return s, f
	case *array:
		return r.array(v)
	case *object:
		return r.object(v)
	default:
		return nil, fail("couldn't manifest function as JSON")
	}
}

// pay pays for n bytes of JSON, which are going to be made and sent.
func (r *resulting) pay(n int) *fault {
	r.size += n
	if r.size > r.m.bounds.Output {
		return &fault{kind: TooLarge, message: fmt.Sprintf("the message is larger than %d bytes", r.m.bounds.Output)}
	}
	return r.m.charge(2 * n)
}

// open pays for an array or an object of n values: its brackets, its commas, and its room.
func (r *resulting) open(n, room int) *fault {
	if f := r.pay(max(n, 1) + 1); f != nil {
		return f
	}
	return r.m.charge(room)
}

func (r *resulting) array(v *array) (any, *fault) {
	n := len(v.elements)
	if f := r.open(n, n*2*sizeSlot); f != nil {
		return nil, f
	}
	data := make([]any, n)
	for i, element := range v.elements {
		inner, f := element.force(r.m)
		if f != nil {
			return nil, f
		}
		if data[i], f = r.of(inner); f != nil {
			return nil, f
		}
	}
	return data, nil
}

func (r *resulting) object(v *object) (any, *fault) {
	names, f := v.names(r.m, false)
	if f != nil {
		return nil, f
	}
	if f := v.assert(r.m); f != nil {
		return nil, f
	}
	if f := r.open(len(names), sizeObject+len(names)*8*sizeSlot); f != nil {
		return nil, f
	}
	data := make(map[string]any, len(names))
	for _, name := range names {
		if f := r.pay(quotedSize(name) + len(":")); f != nil {
			return nil, f
		}
		inner, f := v.get(r.m, name)
		if f != nil {
			return nil, f
		}
		if data[name], f = r.of(inner); f != nil {
			return nil, f
		}
	}
	return data, nil
}
