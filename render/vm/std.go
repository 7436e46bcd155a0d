package vm

import (
	"sync"

	"github.com/google/go-jsonnet/astgen"
)

// natives are the functions of std that are written in Go: those that are so in go-jsonnet, and some of
// its Jsonnet ones, for speed. The others are compiled from go-jsonnet's text of std.
var natives = make(map[string]*function)

func params(names ...string) []param {
	list := make([]param, len(names))
	for i, name := range names {
		list[i].name = name
		if name[len(name)-1] == '?' {
			list[i] = param{name: name[:len(name)-1], optional: true}
		}
	}
	return list
}

// lazy registers a function that evaluates its arguments itself. A name with ? is optional.
func lazy(name string, run native, parameters ...string) {
	natives[name] = &function{proto: &proto{params: params(parameters...), native: run}}
}

func evaluated(m *machine, args []*thunk, into []value) *fault {
	for i, argument := range args {
		if argument == nil {
			continue
		}
		v, f := argument.force(m)
		if f != nil {
			return f
		}
		into[i] = v
	}
	return nil
}

func strict1(name string, run func(m *machine, x value) (value, *fault), parameter string) {
	lazy(name, func(m *machine, args []*thunk) (value, *fault) {
		x, f := args[0].force(m)
		if f != nil {
			return nil, f
		}
		return run(m, x)
	}, parameter)
}

func strict2(name string, run func(m *machine, x, y value) (value, *fault), parameters ...string) {
	lazy(name, func(m *machine, args []*thunk) (value, *fault) {
		var v [2]value
		if f := evaluated(m, args, v[:]); f != nil {
			return nil, f
		}
		return run(m, v[0], v[1])
	}, parameters...)
}

func strict3(name string, run func(m *machine, x, y, z value) (value, *fault), parameters ...string) {
	lazy(name, func(m *machine, args []*thunk) (value, *fault) {
		var v [3]value
		if f := evaluated(m, args, v[:]); f != nil {
			return nil, f
		}
		return run(m, v[0], v[1], v[2])
	}, parameters...)
}

// quick registers a function that go-jsonnet has in Jsonnet. Where run gives neither a value nor a
// fault, as on all that is out of the ordinary, the Jsonnet text has the say. run evaluates arguments in the
// order of the text, so that their faults come first in both.
func quick(name string, run func(m *machine, args []*thunk) (value, *fault), parameters ...string) {
	lazy(name, func(m *machine, args []*thunk) (value, *fault) {
		v, f := run(m, args)
		if v != nil || f != nil {
			return v, f
		}
		slow, f := stdShape().slow[name](m, m.stdObject().scope(m, 0))
		if f != nil {
			return nil, f
		}
		var named []namedArg
		for i, argument := range args {
			if argument != nil {
				named = append(named, namedArg{natives[name].proto.params[i].name, argument})
			}
		}
		return m.call(slow.(*function), nil, named)
	}, parameters...)
}

// std is go-jsonnet's text of the standard library, compiled, with the natives in place.
type std struct {
	shape *shape
	names map[string]bool
	// slow are the functions of the text that a native stands for.
	slow map[string]code
}

var stdShape func() *std

func init() { stdShape = sync.OnceValue(compileStd) }

func compileStd() *std {
	c := &compiler{}
	compiled, _ := c.shape(astgen.StdAst, nil)
	s := &std{shape: &shape{locals: compiled.locals}, names: make(map[string]bool), slow: make(map[string]code)}
	for _, fd := range compiled.fields {
		if natives[fd.name] != nil {
			s.slow[fd.name] = fd.body
			continue
		}
		s.shape.fields = append(s.shape.fields, fd)
	}
	for name, function := range natives {
		s.shape.fields = append(s.shape.fields, field{name: name, hide: hidden, body: always(function)})
	}
	for _, fd := range s.shape.fields {
		s.names[fd.name] = true
	}
	s.shape.seal()
	return s
}

// stdObject is std for std itself.
func (m *machine) stdObject() *object {
	if m.std == nil {
		m.std = &object{layers: []*layer{{shape: stdShape().shape}}}
	}
	return m.std
}

// stdOf is std as a file sees it, with std.thisFile.
func (m *machine) stdOf(file int, name string) (value, *fault) {
	if m.stds == nil {
		m.stds = make([]*object, len(m.program.files))
	}
	if m.stds[file] == nil {
		this := &shape{fields: []field{{name: "thisFile", hide: hidden, body: always(constant(name))}}}
		m.stds[file] = &object{layers: []*layer{{shape: this}, {shape: stdShape().shape}}}
	}
	return m.stds[file], m.tick()
}
