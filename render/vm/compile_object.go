package vm

import "github.com/google/go-jsonnet/ast"

var hidings = map[ast.ObjectFieldHide]hiding{
	ast.ObjectFieldHidden:  hidden,
	ast.ObjectFieldInherit: inherit,
	ast.ObjectFieldVisible: visible,
}

// object compiles an object. Where all its field names are literals, its shape is made here; else it is
// made whenever the expression is evaluated.
func (c *compiler) object(node *ast.DesugaredObject, s *scope) code {
	at := c.place(node)
	template, names := c.shape(node, s)
	if names == nil {
		return func(m *machine, e *env) (value, *fault) {
			return &object{layers: []*layer{{shape: template, env: e}}}, m.charge(sizeObject)
		}
	}
	return func(m *machine, e *env) (value, *fault) {
		if f := m.charge(sizeObject + 192*len(names)); f != nil {
			return nil, f.at(at)
		}
		shape := &shape{locals: template.locals, asserts: template.asserts}
		for i, name := range names {
			v, f := name(m, e)
			if f != nil {
				return nil, f
			}
			if _, omitted := v.(null); omitted {
				continue
			}
			t, ok := v.(*text)
			if !ok {
				return nil, fail("Field name must be string, got " + typeName(v)).at(at)
			}
			fd := template.fields[i]
			if fd.name, f = t.flat(m); f != nil {
				return nil, f.at(at)
			}
			if !shape.add(fd) {
				return nil, duplicate(fd.name).at(at)
			}
		}
		shape.seal()
		return &object{layers: []*layer{{shape: shape, env: e}}}, nil
	}
}

func duplicate(name string) *fault {
	return fail("Duplicate field name: " + string(quote(nil, name)))
}

// shape compiles the fields. It returns code for their names where a name is no literal, or is there twice.
func (c *compiler) shape(node *ast.DesugaredObject, s *scope) (*shape, []code) {
	inner := newScope(s)
	inner.object = true
	for _, local := range node.Locals {
		if _, self := local.Body.(*ast.Self); self && local.Variable == "$" {
			inner.dollar = true
			continue
		}
		inner.bind(local.Variable)
	}
	template := &shape{locals: make([]code, len(inner.slots)), fields: make([]field, len(node.Fields))}
	for _, local := range node.Locals {
		if slot, ok := inner.slots[local.Variable]; ok {
			template.locals[slot] = c.compile(local.Body, inner, false)
		}
	}
	for _, assertion := range node.Asserts {
		template.asserts = append(template.asserts, c.compile(assertion, inner, false))
	}
	fixed, known := true, make(map[string]bool)
	names := make([]code, len(node.Fields))
	for i, fd := range node.Fields {
		literal, ok := fd.Name.(*ast.LiteralString)
		if ok && !known[literal.Value] {
			known[literal.Value] = true
			template.fields[i].name = constant(literal.Value).s
		} else {
			fixed = false
		}
		names[i] = c.compile(fd.Name, s, false)
		template.fields[i].hide = hidings[fd.Hide]
		template.fields[i].plus = fd.PlusSuper
		template.fields[i].place = c.place(fd.Body)
		template.fields[i].body = c.compile(fd.Body, inner, false)
	}
	if !fixed {
		return template, names
	}
	template.seal()
	return template, nil
}

func (c *compiler) superIndex(node *ast.SuperIndex, s *scope) code {
	at, hops := c.place(node), s.self()
	index := c.compile(node.Index, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := index(m, e)
		if f != nil {
			return nil, f
		}
		name, f := m.asString(v)
		if f != nil {
			return nil, f.at(at)
		}
		around := e.hop(hops)
		v, f = around.self.from(m, around.layer+1, name)
		if f != nil {
			return nil, f.at(at)
		}
		return v, nil
	}
}

func (c *compiler) inSuper(node *ast.InSuper, s *scope) code {
	at, hops := c.place(node), s.self()
	index := c.compile(node.Index, s, false)
	return func(m *machine, e *env) (value, *fault) {
		v, f := index(m, e)
		if f != nil {
			return nil, f
		}
		name, f := m.asString(v)
		if f != nil {
			return nil, f.at(at)
		}
		around := e.hop(hops)
		found, _ := around.self.find(around.layer+1, name)
		return found >= 0, m.work(len(around.self.layers) >> 3).at(at)
	}
}
