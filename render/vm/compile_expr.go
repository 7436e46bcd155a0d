package vm

import "github.com/google/go-jsonnet/ast"

func (c *compiler) binary(node *ast.Binary, s *scope) code {
	// Before anything is compiled: what were compiled twice on each level would take for ever.
	if node.Op == ast.BopPlus {
		return c.sum(node, s)
	}
	at := c.place(node)
	left, right := c.compile(node.Left, s, false), c.compile(node.Right, s, false)
	if node.Op == ast.BopAnd || node.Op == ast.BopOr {
		return shortcut(left, right, node.Op == ast.BopOr, at)
	}
	op := binaries[node.Op]
	return func(m *machine, e *env) (value, *fault) {
		x, f := left(m, e)
		if f != nil {
			return nil, f
		}
		y, f := right(m, e)
		if f != nil {
			return nil, f
		}
		v, f := op(m, x, y)
		if f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

// shortcut is && and ||, which end with the left side where that is decisive.
func shortcut(left, right code, decisive bool, at *place) code {
	return func(m *machine, e *env) (value, *fault) {
		v, f := left(m, e)
		if f != nil {
			return nil, f
		}
		b, f := asBool(v)
		if f != nil {
			return nil, f.at(at)
		}
		if b == decisive {
			return b, nil
		}
		if v, f = right(m, e); f != nil {
			return nil, f
		}
		if b, f = asBool(v); f != nil {
			return nil, f.at(at)
		}
		return b, nil
	}
}

// sum compiles a chain of + as a loop: a long one would nest deeply.
func (c *compiler) sum(node *ast.Binary, s *scope) code {
	var operands []code
	var places []*place
	var first ast.Node = node
	for {
		plus, ok := first.(*ast.Binary)
		if !ok || plus.Op != ast.BopPlus {
			break
		}
		operands, places = append(operands, c.compile(plus.Right, s, false)), append(places, c.place(plus))
		first = plus.Left
	}
	start := c.compile(first, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := start(m, e)
		if f != nil {
			return nil, f
		}
		for i := len(operands) - 1; i >= 0; i-- {
			right, f := operands[i](m, e)
			if f != nil {
				return nil, f
			}
			if v, f = m.plus(v, right); f != nil {
				return nil, f.at(places[i])
			}
		}
		return v, nil
	}
}

func (c *compiler) unary(node *ast.Unary, s *scope) code {
	at, op := c.place(node), unary(node.Op)
	operand := c.compile(node.Expr, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := operand(m, e)
		if f != nil {
			return nil, f
		}
		if v, f = op(v); f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

func (c *compiler) index(node *ast.Index, s *scope) code {
	at := c.place(node)
	if literal, ok := node.Index.(*ast.LiteralString); ok {
		if direct := c.stdMember(node.Target, literal.Value, s, at); direct != nil {
			return direct
		}
		return c.member(node, constant(literal.Value), s)
	}
	target, index := c.compile(node.Target, s, false), c.compile(node.Index, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := target(m, e)
		if f != nil {
			return nil, f
		}
		i, f := index(m, e)
		if f != nil {
			return nil, f
		}
		if v, f = m.element(v, i); f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

// member compiles an index that is known.
func (c *compiler) member(node *ast.Index, name *text, s *scope) code {
	at, target := c.place(node), c.compile(node.Target, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := target(m, e)
		if f != nil {
			return nil, f
		}
		if o, ok := v.(*object); ok {
			v, f = o.get(m, name.s)
		} else {
			v, f = m.element(v, name)
		}
		if f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

// stdMember compiles a field of std, whose functions are known now.
func (c *compiler) stdMember(target ast.Node, name string, s *scope, at *place) code {
	v, ok := target.(*ast.Var)
	if !ok || (v.Id != "std" && v.Id != "$std") {
		return nil
	}
	if bound, _, _ := s.find(v.Id); bound != nil {
		return nil
	}
	if f, ok := natives[name]; ok {
		return always(f)
	}
	if !c.placed {
		return nil // std itself, which is being compiled
	}
	if _, ok := stdShape().names[name]; !ok {
		return nil
	}
	return func(m *machine, _ *env) (value, *fault) {
		v, f := m.stdObject().get(m, name)
		if f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

// element is v[i].
func (m *machine) element(v, i value) (value, *fault) {
	switch v := v.(type) {
	case *object:
		name, f := m.asString(i)
		if f != nil {
			return nil, f
		}
		return v.get(m, name)
	case *array:
		x, f := asNumber(i)
		if f != nil {
			return nil, f
		}
		n := int(x)
		if n < 0 || n >= len(v.elements) {
			return nil, failf("Index %d out of bounds, not within [0, %v)", n, len(v.elements))
		}
		return v.elements[n].force(m)
	case *text:
		x, f := asNumber(i)
		if f != nil {
			return nil, f
		}
		length, f := v.length(m)
		if f != nil {
			return nil, f
		}
		n := int(x)
		if n < 0 || n >= length {
			return nil, failf("Index %d out of bounds, not within [0, %v)", n, length)
		}
		return v.at(m, n)
	}
	// The reference names its own type.
	kind := typeName(v)
	return nil, fail("Value non indexable: *jsonnet.value" + string(kind[0]-'a'+'A') + kind[1:])
}

func (c *compiler) raise(node *ast.Error, s *scope) code {
	at := c.place(node)
	message := c.compile(node.Expr, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := message(m, e)
		if f != nil {
			return nil, f
		}
		t, f := m.toText(v)
		if f != nil {
			return nil, f.at(at)
		}
		text, f := t.flat(m)
		if f != nil {
			return nil, f.at(at)
		}
		return nil, fail(text).at(at)
	}
}

func (c *compiler) array(node *ast.Array, s *scope) code {
	elements := make([]func(*machine, *env) *thunk, len(node.Elements))
	for i, element := range node.Elements {
		elements[i] = c.delay(element.Expr, s)
	}
	return func(m *machine, e *env) (value, *fault) {
		m.memory -= sizeArray + sizeSlot*len(elements)
		thunks := make([]*thunk, len(elements))
		for i, element := range elements {
			thunks[i] = element(m, e)
		}
		return newArray(thunks), nil
	}
}
