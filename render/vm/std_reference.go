package vm

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-jsonnet"
)

func init() {
	// Nobody needs these in a mail. go-jsonnet itself evaluates them, on data.
	reference("manifestTomlEx", payTOML, "value", "indent")
	reference("manifestYamlDoc", payYAML, "value", "indent_array_in_object?", "quote_keys?")
	reference("parseYaml", noAliases, "str")
	reference("sha3", nil, "s")
}

// maxReference bounds what go-jsonnet is given to work on: it can't be stopped.
const maxReference = 64 << 10

// reference registers a function that go-jsonnet evaluates. check bounds what that will take.
func reference(name string, check func(m *machine, args []any) *fault, parameters ...string) {
	lazy(name, func(m *machine, args []*thunk) (value, *fault) {
		// A machine of go-jsonnet's, with its std.
		if f := m.charge(128 << 10); f != nil {
			return nil, f
		}
		vm := jsonnet.MakeVM()
		vm.MaxStack = m.bounds.Depth
		var call []string
		given := make([]any, len(args))
		for i, t := range args {
			if t == nil {
				continue
			}
			data, f := m.toData(t, name)
			if f != nil {
				return nil, f
			}
			given[i] = data
			parameter := natives[name].proto.params[i].name
			call = append(call, parameter+"=std.native('"+parameter+"')()")
			vm.NativeFunction(&jsonnet.NativeFunction{Name: parameter, Func: func([]any) (any, error) { return data, nil }})
		}
		if check != nil {
			if f := check(m, given); f != nil {
				return nil, f
			}
		}
		node, err := jsonnet.SnippetToAST("std", "std."+name+"("+strings.Join(call, ",")+")")
		if err != nil {
			return nil, fail(err.Error())
		}
		output, err := vm.Evaluate(node)
		var failure jsonnet.RuntimeError
		switch {
		case errors.As(err, &failure):
			return nil, fail(failure.Msg)
		case err != nil:
			return nil, fail("the interpreter crashed")
		}
		if f := m.charge(jsonMemory(output)); f != nil {
			return nil, f
		}
		var data any
		if err := json.Unmarshal([]byte(output), &data); err != nil {
			return nil, fail(err.Error())
		}
		return m.fromData(data)
	}, parameters...)
}

var (
	anchors = regexp.MustCompile(`(?:^|\W)&([\w-]+)`)
	aliases = regexp.MustCompile(`(?:^|\W)\*([\w-]+)`)
)

// noAliases refuses YAML that may repeat a part of itself: a few KB would become gigabytes.
func noAliases(_ *machine, args []any) *fault {
	s, _ := args[0].(string)
	anchored := make(map[string]bool)
	for _, match := range anchors.FindAllStringSubmatch(s, -1) {
		anchored[match[1]] = true
	}
	if len(anchored) == 0 {
		return nil
	}
	for _, match := range aliases.FindAllStringSubmatch(s, -1) {
		if anchored[match[1]] {
			return limited("std.parseYaml of aliases")
		}
	}
	return nil
}

// maxIndent is how wide an indent of TOML may be, in bytes.
const maxIndent = 64

// payYAML charges for the text and its copies.
func payYAML(m *machine, args []any) *fault {
	w := weight{indent: 2, perLine: true}
	w.add(args[0], 1, 0)
	return m.charge(16 * w.size)
}

// payTOML charges for the text, which is copied with each of its parts.
func payTOML(m *machine, args []any) *fault {
	indent, _ := args[1].(string)
	if len(indent) > maxIndent {
		return limited("std.manifestTomlEx with too wide an indent")
	}
	w := weight{indent: len(indent) * (1 + strings.Count(indent, "\n"))}
	w.add(args[0], 1, 0)
	return m.charge(4 * w.size * w.parts)
}

// weight is rather more than how large a text becomes that is made of data.
type weight struct {
	indent  int
	perLine bool
	size    int
	parts   int
}

// add weighs a value, which is so deep, and whose path is so long.
func (w *weight) add(data any, depth, path int) {
	w.parts++
	w.size += 32 + depth*w.indent + path
	switch data := data.(type) {
	case string:
		w.size += 6 * len(data)
		if w.perLine {
			w.size += strings.Count(data, "\n") * (depth + 1) * w.indent
		}
	case float64:
		w.size += len(strconv.FormatFloat(data, 'f', -1, 64))
	case []any:
		for _, element := range data {
			w.add(element, depth+1, path)
		}
	case map[string]any:
		for name, field := range data {
			w.size += 6 * len(name)
			w.add(field, depth+1, path+6*len(name)+4)
		}
	}
}

// toData makes of a value what encoding/json would decode.
func (m *machine) toData(t *thunk, name string) (data any, f *fault) {
	v, f := t.force(m)
	if f != nil {
		return nil, f
	}
	w := &writer{m: m}
	if f := w.write(v); f != nil {
		if f.message == tooDeep {
			f.message = "max manifest depth exceeded, possible infinite recursion"
		}
		return nil, f
	}
	if len(w.out) > maxReference {
		return nil, limited("std." + name + " of too much data")
	}
	if f := m.charge(64 * len(w.out)); f != nil {
		return nil, f
	}
	if err := json.Unmarshal(w.out, &data); err != nil {
		return nil, fail(err.Error())
	}
	return data, nil
}
