package vm

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

func init() {
	lazy("manifestJsonEx", manifestJSON, "value", "indent", "newline?", "key_val_sep?")
}

// manifesting is one evaluation of std.manifestJsonEx.
type manifesting struct {
	m                          *machine
	indent, newline, separator string
	out                        []byte
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
		return w.put("null")
	case bool:
		return w.put(strconv.FormatBool(v))
	case float64:
		return w.put(strconv.FormatFloat(v, 'f', -1, 64))
	case *text:
		s, f := v.flat(w.m)
		if f != nil {
			return f
		}
		return w.quote(s)
	case *array:
		return w.list("[", "]", len(v.elements), indent, func(i int) (value, string, *fault) {
			element, f := v.elements[i].force(w.m)
			return element, strconv.Itoa(i), f
		})
	case *object:
		names, f := v.names(w.m, false)
		if f != nil {
			return f
		}
		return w.list("{", "}", len(names), indent, func(i int) (value, string, *fault) {
			field, f := v.get(w.m, names[i])
			if f == nil {
				f = w.quote(names[i])
			}
			if f == nil {
				f = w.put(w.separator)
			}
			return field, names[i], f
		})
	default:
		return failf("tried to manifest function at %s", w.path)
	}
}

func (w *manifesting) list(begin, end string, n int, indent string, item func(i int) (value, string, *fault)) *fault {
	if f := w.m.charge(len(indent) + len(w.indent) + 32); f != nil {
		return f
	}
	inner := indent + w.indent
	if f := w.put(begin, w.newline); f != nil {
		return f
	}
	for i := range n {
		if i > 0 {
			if f := w.put(",", w.newline); f != nil {
				return f
			}
		}
		if f := w.put(inner); f != nil {
			return f
		}
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
	return w.put(w.newline, indent, end)
}

// put appends what it has paid for: twice, as growing copies, and twice for the string that is made at the end.
func (w *manifesting) put(parts ...string) *fault {
	for _, s := range parts {
		if f := w.m.charge(4 * len(s)); f != nil {
			return f
		}
		w.out = append(grown(w.out, len(s)), s...)
	}
	return nil
}

// quote does it as encoding/json, not as other parts of Jsonnet do: U+2028 and U+2029 are escaped.
func (w *manifesting) quote(s string) *fault {
	if f := w.m.charge(3 * (quotedSize(s) + 3*strings.Count(s, "\u2028") + 3*strings.Count(s, "\u2029"))); f != nil {
		return f
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // strings always can
	return w.put(string(bytes.TrimRight(quoted.Bytes(), "\n")))
}
