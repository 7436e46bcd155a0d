package vm

import "github.com/google/go-jsonnet/ast"

type namedArg struct {
	name  string
	thunk *thunk
}

// leftToCaller is what a function returns that ends with a call in m.tail.
type leftToCaller struct{}

func (c *compiler) apply(node *ast.Apply, s *scope, tail bool) code {
	at := c.place(node)
	target := c.compile(node.Target, s, false)
	positional := make([]func(*machine, *env) *thunk, len(node.Arguments.Positional))
	for i, argument := range node.Arguments.Positional {
		positional[i] = c.delay(argument.Expr, s)
	}
	names := make([]string, len(node.Arguments.Named))
	named := make([]func(*machine, *env) *thunk, len(names))
	for i, argument := range node.Arguments.Named {
		names[i], named[i] = string(argument.Name), c.delay(argument.Arg, s)
	}
	strict := node.TailStrict
	return func(m *machine, e *env) (value, *fault) {
		v, f := target(m, e)
		if f != nil {
			return nil, f
		}
		callee, f := asFunction(v)
		if f != nil {
			return nil, f.at(at)
		}
		m.memory -= sizeSlot * len(positional)
		args := make([]*thunk, len(positional))
		for i, argument := range positional {
			args[i] = argument(m, e)
		}
		var byName []namedArg
		for i, argument := range named {
			byName = append(byName, namedArg{names[i], argument(m, e)})
		}
		if strict && callee.proto.native == nil {
			inner, f := m.openStrictly(callee, args, byName)
			if f != nil {
				return nil, f.at(at)
			}
			if tail {
				m.tail = tailCall{callee, inner, at}
				return leftToCaller{}, nil
			}
			v, f = m.enterBody(callee, inner)
			return v, f.at(at)
		}
		if strict {
			if f := m.forceAll(callee, args, byName); f != nil {
				return nil, f.at(at)
			}
		}
		v, f = m.call(callee, args, byName)
		return v, f.at(at)
	}
}

// forceAll evaluates the arguments of a native: some leave arguments that they don't need.
func (m *machine) forceAll(callee *function, args []*thunk, named []namedArg) *fault {
	slots, f := bind(callee.proto.params, args, named)
	if f != nil {
		return f
	}
	for _, t := range slots {
		if t == nil {
			continue
		}
		if _, f := t.force(m); f != nil {
			return f
		}
	}
	return nil
}

// call calls a function.
func (m *machine) call(callee *function, args []*thunk, named []namedArg) (value, *fault) {
	if callee.proto.native == nil {
		e, f := m.open(callee, args, named)
		if f != nil {
			return nil, f
		}
		return m.enterBody(callee, e)
	}
	slots, f := bind(callee.proto.params, args, named)
	if f == nil {
		f = m.tick()
	}
	if f != nil {
		return nil, f
	}
	return callee.proto.native(m, slots)
}

// open makes the scope of a call.
func (m *machine) open(callee *function, args []*thunk, named []namedArg) (*env, *fault) {
	p := callee.proto
	slots, f := bind(p.params, args, named)
	if f != nil {
		return nil, f
	}
	m.memory -= sizeEnv
	e := &env{up: callee.env, slots: slots}
	for i := range slots {
		if slots[i] == nil {
			slots[i] = &thunk{run: p.params[i].byDefault, env: e}
			m.memory -= sizeThunk
		}
	}
	return e, nil
}

// openStrictly evaluates all arguments too, as tailstrict does.
func (m *machine) openStrictly(callee *function, args []*thunk, named []namedArg) (*env, *fault) {
	e, f := m.open(callee, args, named)
	if f != nil {
		return nil, f
	}
	for _, t := range e.slots {
		if _, f := t.force(m); f != nil {
			return nil, f
		}
	}
	return e, nil
}

// enterBody runs a function, and those that it ends with: they take no more of the stack.
func (m *machine) enterBody(callee *function, e *env) (value, *fault) {
	if f := m.enter(); f != nil {
		return nil, f
	}
	v, f := callee.proto.body(m, e)
	for f == nil {
		if _, more := v.(leftToCaller); !more {
			break
		}
		next := m.tail
		m.tail = tailCall{}
		if f = m.tick(); f == nil {
			v, f = next.function.proto.body(m, next.env)
		}
		f = f.at(next.place)
	}
	m.depth--
	if f != nil {
		return nil, f
	}
	return v, nil
}

// bind gives each parameter its argument, or nil where it has a default.
func bind(params []param, args []*thunk, named []namedArg) ([]*thunk, *fault) {
	if len(args) == len(params) && len(named) == 0 {
		return args, nil
	}
	if f := check(params, args, named); f != nil {
		return nil, f
	}
	slots := make([]*thunk, len(params))
	copy(slots, args)
	for _, argument := range named {
		slots[position(params, argument.name)] = argument.thunk
	}
	return slots, nil
}

func position(params []param, name string) int {
	for i := range params {
		if params[i].name == name {
			return i
		}
	}
	return -1
}

// check refuses arguments that don't fit the parameters.
func check(params []param, args []*thunk, named []namedArg) *fault {
	if len(args) > len(params) {
		return failf("function expected %v positional argument(s), but got %v", len(params), len(args))
	}
	given := make([]bool, len(params))
	for i := range args {
		given[i] = true
	}
	for _, argument := range named {
		i := position(params, argument.name)
		switch {
		case i < 0:
			return fail("function has no parameter " + argument.name)
		case given[i]:
			return failf("Argument %v already provided", argument.name)
		}
		given[i] = true
	}
	for i := range params {
		if !given[i] && !params[i].optional {
			return fail("Missing argument: " + params[i].name)
		}
	}
	return nil
}
