package vm

import (
	"bytes"
	"encoding/json"
	"strconv"
)

func init() {
	lazy("manifestJsonEx", manifestJSON, "value", "indent", "newline?", "key_val_sep?")
}

// manifesting is one evaluation of std.manifestJsonEx.
type manifesting struct {
	m                          *machine
	indent, newline, separator string
	out                        []byte
	charged                    int
	path                       []string
}

func manifestJSON(m *machine, args []*thunk) (value, *fault) {
	v := [4]value{nil, nil, constant("\n"), constant(": ")}
	if f := evaluated(m, args, v[:]); f != nil {
		return nil, f
	}
	w := manifesting{m: m}
	for i, into := range []*string{&w.indent, &w.newline, &w.separator} {
		s, f := m.asString(v[i+1])
		if f != nil {
			return nil, f
		}
		*into = s
	}
	if f := w.write(v[0], ""); f != nil {
		return nil, f
	}
	return m.say(string(w.out))
}

func (w *manifesting) write(v value, indent string) *fault {
	if w.m.depth >= w.m.bounds.Depth || len(w.path) >= w.m.bounds.Depth {
		return fail("max manifest depth exceeded, possible infinite recursion")
	}
	w.m.depth++
	defer func() { w.m.depth-- }()
	switch v := v.(type) {
	case null:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case float64:
		w.out = strconv.AppendFloat(w.out, v, 'f', -1, 64)
	case *text:
		s, f := v.flat(w.m)
		if f != nil {
			return f
		}
		w.quote(s)
	case *array:
		if f := w.list('[', ']', len(v.elements), indent, func(i int) (value, string, *fault) {
			element, f := v.elements[i].force(w.m)
			return element, strconv.Itoa(i), f
		}); f != nil {
			return f
		}
	case *object:
		names, f := v.names(w.m, false)
		if f != nil {
			return f
		}
		if f := w.list('{', '}', len(names), indent, func(i int) (value, string, *fault) {
			field, f := v.get(w.m, names[i])
			w.quote(names[i])
			w.out = append(w.out, w.separator...)
			return field, names[i], f
		}); f != nil {
			return f
		}
	default:
		return failf("tried to manifest function at %s", w.path)
	}
	f := w.m.charge(2 * (len(w.out) - w.charged))
	w.charged = len(w.out)
	return f
}

func (w *manifesting) list(begin, end byte, n int, indent string, item func(i int) (value, string, *fault)) *fault {
	w.out = append(append(w.out, begin), w.newline...)
	inner := indent + w.indent
	if f := w.m.charge(len(inner) + 32); f != nil {
		return f
	}
	for i := range n {
		if i > 0 {
			w.out = append(append(w.out, ','), w.newline...)
		}
		w.out = append(w.out, inner...)
		v, name, f := item(i)
		if f != nil {
			return f
		}
		w.path = append(w.path, name)
		if f := w.write(v, inner); f != nil {
			return f
		}
		w.path = w.path[:len(w.path)-1]
	}
	w.out = append(append(append(w.out, w.newline...), indent...), end)
	return nil
}

// quote does it as encoding/json, not as other parts of Jsonnet do.
func (w *manifesting) quote(s string) {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // strings always can
	w.out = append(w.out, bytes.TrimRight(quoted.Bytes(), "\n")...)
}
