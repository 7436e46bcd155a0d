package vm

import (
	"strconv"

	"github.com/google/go-jsonnet/ast"
)

// compiler makes closures of one file.
type compiler struct {
	file    int
	name    string
	files   []File
	resolve func(from, imported string) (int, bool)
	// placed files are the program's own: faults are placed in them.
	placed bool
	// texts and arrays are of importstr and importbin.
	texts, arrays imports
	// level is how deep in the syntax tree the compiler is.
	level int
}

// scope is an env while compiling: one is made for each function, local and object.
type scope struct {
	up    *scope
	slots map[ast.Identifier]int
	// object scopes have a self, which $ may be a name of.
	object, dollar bool
}

func (s *scope) bind(name ast.Identifier) { s.slots[name] = len(s.slots) }

func newScope(up *scope) *scope { return &scope{up: up, slots: make(map[ast.Identifier]int)} }

// find returns how many scopes up a name is bound, and its slot there; -1 for std, which is bound nowhere.
func (s *scope) find(name ast.Identifier) (*scope, int, int) {
	hops := 0
	for ; s != nil; s = s.up {
		if slot, ok := s.slots[name]; ok {
			return s, hops, slot
		}
		if s.dollar && name == "$" {
			return s, hops, -1
		}
		hops++
	}
	return nil, 0, -1
}

// self returns how many scopes up the object is.
func (s *scope) self() int {
	hops := 0
	for ; !s.object; s = s.up {
		hops++
	}
	return hops
}

func (e *env) hop(n int) *env {
	for ; n > 0; n-- {
		e = e.up
	}
	return e
}

func (c *compiler) place(node ast.Node) *place {
	loc := node.Loc()
	if !c.placed || !loc.IsSet() {
		return nil
	}
	return &place{c.name, loc.Begin.Line, loc.Begin.Column}
}

func always(v value) code {
	return func(*machine, *env) (value, *fault) { return v, nil }
}

// compile makes code of a node. With tail, the code may leave a call to its caller, as calls with
// tailstrict do at the end of a function.
func (c *compiler) compile(node ast.Node, s *scope, tail bool) code {
	c.level++
	run := c.expression(node, s, tail)
	c.level--
	if c.level%levels != levels-1 {
		return run
	}
	return func(m *machine, e *env) (value, *fault) {
		if m.nested >= maxNested {
			return nil, fail(tooDeep)
		}
		m.nested++
		v, f := run(m, e)
		m.nested--
		return v, f
	}
}

func (c *compiler) expression(node ast.Node, s *scope, tail bool) code {
	switch node := node.(type) {
	case *ast.LiteralNull:
		return always(null{})
	case *ast.LiteralBoolean:
		return always(node.Value)
	case *ast.LiteralNumber:
		return c.literalNumber(node)
	case *ast.LiteralString:
		return always(constant(node.Value))
	case *ast.Var:
		return c.variable(node, s)
	case *ast.Self:
		hops := s.self()
		return func(_ *machine, e *env) (value, *fault) { return e.hop(hops).self, nil }
	case *ast.Local:
		return c.local(node, s, tail)
	case *ast.Function:
		p := c.function(node, s)
		return func(m *machine, e *env) (value, *fault) {
			m.memory -= sizeEnv
			return &function{p, e}, nil
		}
	case *ast.Apply:
		return c.apply(node, s, tail)
	case *ast.Conditional:
		return c.conditional(node, s, tail)
	case *ast.Binary:
		return c.binary(node, s)
	case *ast.Unary:
		return c.unary(node, s)
	case *ast.Error:
		return c.raise(node, s)
	case *ast.Array:
		return c.array(node, s)
	case *ast.DesugaredObject:
		return c.object(node, s)
	case *ast.Index:
		return c.index(node, s)
	case *ast.SuperIndex:
		return c.superIndex(node, s)
	case *ast.InSuper:
		return c.inSuper(node, s)
	default:
		return c.imported(node)
	}
}

func (c *compiler) literalNumber(node *ast.LiteralNumber) code {
	x, err := strconv.ParseFloat(node.OriginalString, 64)
	if err != nil {
		at := c.place(node)
		return func(*machine, *env) (value, *fault) { return nil, fail("overflow").at(at) }
	}
	return always(number(x))
}

func (c *compiler) variable(node *ast.Var, s *scope) code {
	at := c.place(node)
	bound, hops, slot := s.find(node.Id)
	switch {
	case bound == nil:
		file, name := c.file, c.name
		return func(m *machine, _ *env) (value, *fault) { return m.stdOf(file, name) }
	case slot < 0:
		return func(_ *machine, e *env) (value, *fault) { return e.hop(hops).self, nil }
	}
	return func(m *machine, e *env) (value, *fault) {
		t := e.hop(hops).slots[slot]
		if t.v != nil {
			return t.v, nil
		}
		v, f := t.force(m)
		if f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

// delay makes what gives a thunk for a node: that of a variable is the variable's own, where no fault in it
// is to be placed.
func (c *compiler) delay(node ast.Node, s *scope) func(m *machine, e *env) *thunk {
	switch node := node.(type) {
	case *ast.LiteralNull, *ast.LiteralBoolean, *ast.LiteralString:
		v, _ := c.expression(node, s, false)(nil, nil)
		t := ready(v)
		return func(*machine, *env) *thunk { return t }
	case *ast.LiteralNumber:
		if v, f := c.expression(node, s, false)(nil, nil); f == nil {
			t := ready(v)
			return func(*machine, *env) *thunk { return t }
		}
	case *ast.Var:
		if bound, hops, slot := s.find(node.Id); bound != nil && slot >= 0 {
			run, placed := c.variable(node, s), c.placed
			return func(m *machine, e *env) *thunk {
				t := e.hop(hops).slots[slot]
				if t.v != nil || !placed {
					return t
				}
				m.memory -= sizeThunk
				return &thunk{run: run, env: e}
			}
		}
	}
	run := c.compile(node, s, false)
	return func(m *machine, e *env) *thunk {
		m.memory -= sizeThunk
		return &thunk{run: run, env: e}
	}
}

func (c *compiler) local(node *ast.Local, s *scope, tail bool) code {
	inner := newScope(s)
	for _, bind := range node.Binds {
		// $ is another name of self.
		if _, self := bind.Body.(*ast.Self); self && bind.Variable == "$" {
			continue
		}
		inner.bind(bind.Variable)
	}
	bodies := make([]code, len(inner.slots))
	for _, bind := range node.Binds {
		if slot, ok := inner.slots[bind.Variable]; ok {
			bodies[slot] = c.compile(bind.Body, inner, false)
		} else {
			c.dollar(s)
		}
	}
	body := c.compile(node.Body, inner, tail)
	return func(m *machine, e *env) (value, *fault) {
		m.memory -= sizeEnv + len(bodies)*(sizeSlot+sizeThunk)
		thunks := make([]thunk, len(bodies))
		e = &env{up: e, slots: make([]*thunk, len(bodies))}
		for i := range thunks {
			thunks[i] = thunk{run: bodies[i], env: e}
			e.slots[i] = &thunks[i]
		}
		return body(m, e)
	}
}

// dollar lets $ be the object around the scope.
func (c *compiler) dollar(s *scope) {
	for !s.object {
		s = s.up
	}
	s.dollar = true
}

func (c *compiler) function(node *ast.Function, s *scope) *proto {
	p := &proto{params: make([]param, len(node.Parameters))}
	inner := newScope(s)
	for _, parameter := range node.Parameters {
		inner.bind(parameter.Name)
	}
	for i, parameter := range node.Parameters {
		p.params[i].name = string(parameter.Name)
		if parameter.DefaultArg != nil {
			p.params[i].optional = true
			p.params[i].byDefault = c.compile(parameter.DefaultArg, inner, false)
		}
	}
	p.body = c.compile(node.Body, inner, true)
	return p
}

func (c *compiler) conditional(node *ast.Conditional, s *scope, tail bool) code {
	at := c.place(node)
	condition := c.compile(node.Cond, s, false)
	yes, no := c.compile(node.BranchTrue, s, tail), c.compile(node.BranchFalse, s, tail)
	return func(m *machine, e *env) (value, *fault) {
		v, f := condition(m, e)
		if f != nil {
			return nil, f
		}
		holds, f := asBool(v)
		if f != nil {
			return nil, f.at(at)
		}
		if holds {
			return yes(m, e)
		}
		return no(m, e)
	}
}
