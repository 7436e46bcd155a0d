package vm

import (
	"slices"
)

// object is a stack of layers: a + b has those of b, then those of a. Fields are bound late, to the
// object that they are asked of.
type object struct {
	layers []*layer
	// envs and cache are by layer, cache by field too.
	envs  []*env
	cache [][]value
	// asserted is set when the assertions were begun to be checked; broken is what they found.
	asserted bool
	broken   *fault
}

// layer is what one object expression gave, or a map of data, or a restriction on the layers below.
type layer struct {
	shape *shape
	env   *env
	data  map[string]any
	// made are the values of data whose making costs much. Layers with data belong to one evaluation.
	made map[string]value
	// keep are the fields that a restriction lets through, of as many layers below as span says.
	keep map[string]hiding
	span int
}

type hiding uint8

const (
	inherit hiding = iota
	hidden
	visible
)

// shape is what all objects of one expression share.
type shape struct {
	fields  []field
	index   map[string]int // where there are many
	locals  []code
	asserts []code
	sorted  []string // names of the fields that are not hidden
}

type field struct {
	name string
	hide hiding
	plus bool
	body code
	// place is that of the body.
	place *place
	// env is the scope around a field of an object comprehension, which has merged set.
	env    *env
	merged bool
}

// few is how many fields are looked through one by one.
const few = 8

// add adds a field, and reports whether its name is a new one.
func (s *shape) add(fd field) bool {
	if s.find(fd.name) >= 0 {
		return false
	}
	s.fields = append(s.fields, fd)
	switch n := len(s.fields); {
	case n == few+1:
		s.makeIndex()
	case n > few:
		s.index[fd.name] = n - 1
	}
	return true
}

func (s *shape) makeIndex() {
	s.index = make(map[string]int, len(s.fields))
	for i := range s.fields {
		s.index[s.fields[i].name] = i
	}
}

func (s *shape) seal() {
	if len(s.fields) > few && s.index == nil {
		s.makeIndex()
	}
	for i := range s.fields {
		if s.fields[i].hide != hidden {
			s.sorted = append(s.sorted, s.fields[i].name)
		}
	}
	slices.Sort(s.sorted)
}

func (s *shape) find(name string) int {
	if s.index != nil {
		if i, ok := s.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range s.fields {
		if s.fields[i].name == name {
			return i
		}
	}
	return -1
}

// find returns the first layer from start on that has the field, and the field's number in there. A
// restriction holds for whoever begins at it, and for nobody who comes from above: so it is in the reference.
func (o *object) find(start int, name string) (int, int) {
	for i := start; i < len(o.layers); i++ {
		l := o.layers[i]
		switch {
		case l.keep != nil:
			if _, kept := l.keep[name]; !kept && i == start {
				i += l.span
			}
		case l.data != nil:
			if _, has := l.data[name]; has {
				return i, 0
			}
		case l.shape != nil:
			if n := l.shape.find(name); n >= 0 {
				return i, n
			}
		}
	}
	return -1, -1
}

// get returns the field's value, as seen from the object's top.
func (o *object) get(m *machine, name string) (value, *fault) { return o.from(m, 0, name) }

// from returns the field's value in the first layer from start on that has it.
func (o *object) from(m *machine, start int, name string) (value, *fault) {
	if !o.asserted || o.broken != nil {
		if f := o.assert(m); f != nil {
			return nil, f
		}
	}
	if start >= len(o.layers) {
		return nil, fail("Attempt to use super when there is no super class.")
	}
	i, n := o.find(start, name)
	if f := m.work(len(o.layers) >> 3); f != nil {
		return nil, f
	}
	if i < 0 {
		return nil, fail("Field does not exist: " + name)
	}
	l := o.layers[i]
	if l.data != nil {
		return l.value(m, name)
	}
	if o.cache != nil && o.cache[i] != nil && o.cache[i][n] != nil {
		return o.cache[i][n], nil
	}
	v, f := o.evaluate(m, i, &l.shape.fields[n])
	if f != nil {
		return nil, f
	}
	if f := o.keepValue(m, i, n, v); f != nil {
		return nil, f
	}
	return v, nil
}

func (o *object) keepValue(m *machine, i, n int, v value) *fault {
	if o.cache == nil {
		if f := m.charge(3 * sizeSlot * len(o.layers)); f != nil {
			return f
		}
		o.cache = make([][]value, len(o.layers))
	}
	if o.cache[i] == nil {
		fields := len(o.layers[i].shape.fields)
		if f := m.charge(2 * sizeSlot * fields); f != nil {
			return f
		}
		o.cache[i] = make([]value, fields)
	}
	o.cache[i][n] = v
	return nil
}

// value returns a field of data. Lists, objects and long strings are made once: a loop over the elements of a
// list asks for the list each time.
func (l *layer) value(m *machine, name string) (value, *fault) {
	data := l.data[name]
	keeps := false
	switch data := data.(type) {
	case []any, map[string]any:
		keeps = true
	case string:
		keeps = len(data) > short
	}
	if !keeps {
		return m.fromData(data)
	}
	if v, ok := l.made[name]; ok {
		return v, nil
	}
	v, f := m.fromData(data)
	if f != nil {
		return nil, f
	}
	if l.made == nil {
		l.made = make(map[string]value)
	}
	l.made[name] = v
	return v, m.charge(sizeObject)
}

func (o *object) evaluate(m *machine, i int, fd *field) (value, *fault) {
	if f := m.enter(); f != nil {
		return nil, f
	}
	defer func() { m.depth-- }()
	e := o.scope(m, i)
	if fd.merged {
		e = &env{up: fd.env, self: o, layer: i}
	}
	v, f := fd.body(m, e)
	if f != nil {
		if fd.plus {
			f = f.at(fd.place)
		}
		return nil, f
	}
	if !fd.plus {
		return v, nil
	}
	if below, _ := o.find(i+1, fd.name); below < 0 {
		return v, m.work(len(o.layers) >> 3)
	}
	left, f := o.from(m, i+1, fd.name)
	if f != nil {
		return nil, f.at(fd.place)
	}
	sum, f := m.plus(left, v)
	if f != nil {
		return nil, f.at(fd.place)
	}
	return sum, nil
}

// scope returns the scope of a layer's fields: self and the object's locals.
func (o *object) scope(m *machine, i int) *env {
	if o.envs == nil {
		o.envs = make([]*env, len(o.layers))
		m.memory -= sizeSlot * len(o.layers)
	}
	if o.envs[i] == nil {
		l := o.layers[i]
		e := &env{up: l.env, self: o, layer: i}
		m.memory -= sizeEnv
		if l.shape != nil && len(l.shape.locals) > 0 {
			e.slots = make([]*thunk, len(l.shape.locals))
			for n, body := range l.shape.locals {
				e.slots[n] = &thunk{run: body, env: e}
			}
			m.memory -= len(e.slots) * (sizeSlot + sizeThunk)
		}
		o.envs[i] = e
	}
	return o.envs[i]
}

// assert checks the object's assertions, once. While they are checked they hold.
func (o *object) assert(m *machine) *fault {
	if o.asserted {
		return o.broken
	}
	o.asserted = true
	if f := m.work(len(o.layers) >> 3); f != nil {
		return f
	}
	for i, l := range o.layers {
		if l.shape == nil {
			continue
		}
		for _, check := range l.shape.asserts {
			if f := m.enter(); f != nil {
				return f
			}
			_, f := check(m, o.scope(m, i))
			m.depth--
			if f != nil {
				o.broken = f
				return f
			}
		}
	}
	return nil
}
