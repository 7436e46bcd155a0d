package vm

func init() {
	strict2("objectFieldsEx", objectFields, "obj", "hidden")
	strict3("objectHasEx", objectHas, "obj", "fname", "hidden")
	strict2("objectRemoveKey", func(m *machine, obj, key value) (value, *fault) {
		o, f := asObject(obj)
		if f != nil {
			return nil, f
		}
		name, f := m.asString(key)
		if f != nil {
			return nil, f
		}
		return o.without(m, name)
	}, "obj", "key")
	strict1("$objectFlatMerge", flatMerge, "x")
	quick("get", get, "o", "f", "default?", "inc_hidden?")
	for name, all := range map[string]bool{"": false, "All": true} {
		all := all
		strict2("objectHas"+name, func(m *machine, o, f value) (value, *fault) { return objectHas(m, o, f, all) }, "o", "f")
		strict1("objectFields"+name, func(m *machine, o value) (value, *fault) { return objectFields(m, o, all) }, "o")
	}
	quick("objectValues", objectValues, "o")

	strict1("id", func(_ *machine, v value) (value, *fault) { return v, nil }, "x")
	strict1("type", func(_ *machine, v value) (value, *fault) { return typeNames[typeName(v)], nil }, "x")
	for name := range typeNames {
		kind := name
		strict1("is"+string(kind[0]-'a'+'A')+kind[1:], func(_ *machine, v value) (value, *fault) {
			return typeName(v) == kind, nil
		}, parameterOfIs(kind))
	}
	strict1("length", length, "x")
	strict2("equals", func(m *machine, x, y value) (value, *fault) {
		equal, f := m.equal(x, y)
		return equal, f
	}, "x", "y")
	strict2("primitiveEquals", primitiveEquals, "x", "y")
	strict2("trace", func(_ *machine, message, rest value) (value, *fault) {
		// What it prints may be what a person typed: it is not printed.
		_, f := asText(message)
		return rest, f
	}, "str", "rest")
	strict1("extVar", func(m *machine, name value) (value, *fault) {
		s, f := m.asString(name)
		if f != nil {
			return nil, f
		}
		return nil, fail("Undefined external variable: " + s)
	}, "x")
	strict1("native", func(m *machine, name value) (value, *fault) {
		_, f := m.asString(name)
		return null{}, f
	}, "x")
	strict2("member", membership, "arr", "x")
	strict2("contains", func(m *machine, arr, v value) (value, *fault) {
		if _, f := asArray(arr); f != nil {
			return nil, f
		}
		return membership(m, arr, v)
	}, "arr", "elem")
	strict2("remove", remove, "arr", "elem")
	strict2("removeAt", removeAt, "arr", "i")
}

var typeNames = map[string]value{
	"null": constant("null"), "boolean": constant("boolean"), "number": constant("number"), "string": constant("string"),
	"array": constant("array"), "object": constant("object"), "function": constant("function"),
}

// parameterOfIs is how the parameter of isNull and its like is named.
func parameterOfIs(kind string) string {
	if kind == "null" {
		return "x"
	}
	return "v"
}

func objectFields(m *machine, obj, all value) (value, *fault) {
	o, f := asObject(obj)
	if f != nil {
		return nil, f
	}
	withHidden, f := asBool(all)
	if f != nil {
		return nil, f
	}
	names, f := o.names(m, withHidden)
	if f != nil {
		return nil, f
	}
	if f := m.charge(len(names) * (sizeSlot + sizeThunk + sizeText)); f != nil {
		return nil, f
	}
	elements := make([]*thunk, len(names))
	for i, name := range names {
		elements[i] = ready(cleanText(name))
	}
	return newArray(elements), nil
}

func objectHas(m *machine, obj, name, all value) (value, *fault) {
	o, f := asObject(obj)
	if f != nil {
		return nil, f
	}
	s, f := m.asString(name)
	if f != nil {
		return nil, f
	}
	withHidden, f := asBool(all)
	if f != nil {
		return nil, f
	}
	hide, has := o.hiding(s)
	return has && (withHidden || hide != hidden), m.work(1 + len(o.layers)>>3)
}

func get(m *machine, args []*thunk) (value, *fault) {
	var all value = true
	obj, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	name, f := args[1].force(m)
	if f != nil {
		return nil, f
	}
	if args[3] != nil {
		if all, f = args[3].force(m); f != nil {
			return nil, f
		}
	}
	has, f := objectHas(m, obj, name, all)
	switch {
	case f != nil:
		return nil, f
	case has == true:
		return m.element(obj, name)
	case args[2] == nil:
		return null{}, nil
	}
	return args[2].force(m)
}

func objectValues(m *machine, args []*thunk) (value, *fault) {
	v, f := args[0].force(m)
	if f != nil {
		return nil, f
	}
	o, ok := v.(*object)
	if !ok {
		return nil, nil
	}
	names, f := o.names(m, false)
	if f != nil {
		return nil, f
	}
	if f := m.charge(len(names) * (sizeSlot + 2*sizeThunk)); f != nil {
		return nil, f
	}
	elements := make([]*thunk, len(names))
	for i, name := range names {
		elements[i] = &thunk{run: func(m *machine, _ *env) (value, *fault) { return o.get(m, name) }}
	}
	return newArray(elements), nil
}

// flatMerge makes one object of those of a comprehension, each with one field or none.
func flatMerge(m *machine, v value) (value, *fault) {
	objects, f := asArray(v)
	if f != nil {
		return nil, f
	}
	merged := &shape{}
	seen := make(map[string]bool)
	for _, t := range objects.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		o, f := asObject(v)
		if f != nil {
			return nil, f
		}
		if len(o.layers) != 1 || o.layers[0].shape == nil || len(o.layers[0].shape.locals) > 0 {
			return nil, fail("objects to merge must be plain")
		}
		for _, fd := range o.layers[0].shape.fields {
			if seen[fd.name] {
				return nil, duplicate(fd.name)
			}
			seen[fd.name] = true
			fd.env = o.layers[0].env
			fd.merged = true
			merged.fields = append(merged.fields, fd)
		}
		if f := m.charge(300); f != nil {
			return nil, f
		}
	}
	merged.seal()
	return &object{layers: []*layer{{shape: merged}}}, m.charge(sizeObject)
}

func length(m *machine, v value) (value, *fault) {
	n := 0
	var f *fault
	switch v := v.(type) {
	case *text:
		n, f = v.length(m)
	case *array:
		n = len(v.elements)
	case *object:
		var names []string
		names, f = v.names(m, false)
		n = len(names)
	case *function:
		for _, parameter := range v.proto.params {
			if !parameter.optional {
				n++
			}
		}
	default:
		return nil, fail("Unexpected type " + typeName(v))
	}
	return number(float64(n)), f
}

func primitiveEquals(m *machine, x, y value) (value, *fault) {
	if typeName(x) != typeName(y) {
		return false, nil
	}
	switch x.(type) {
	case *array, *object:
		return nil, fail("primitiveEquals operates on primitive types, got " + typeName(x))
	}
	equal, f := m.equal(x, y)
	return equal, f
}

func membership(m *machine, in, v value) (value, *fault) {
	found, f := m.member(in, v)
	return found, f
}

func remove(m *machine, arr, v value) (value, *fault) {
	a, f := asArray(arr)
	if f != nil {
		return nil, f
	}
	i, f := m.indexOf(a, v)
	if f != nil || i < 0 {
		return a, f
	}
	return removeAt(m, arr, number(float64(i)))
}

func removeAt(m *machine, arr, index value) (value, *fault) {
	a, f := asArray(arr)
	if f != nil {
		return nil, f
	}
	i, f := asInt(index)
	if f != nil {
		return nil, f
	}
	if i < 0 || i >= len(a.elements) {
		return nil, failf("Index %d out of bounds, not within [0, %v)", i, len(a.elements))
	}
	if f := m.charge(sizeSlot * len(a.elements)); f != nil {
		return nil, f
	}
	elements := make([]*thunk, 0, len(a.elements)-1)
	elements = append(append(elements, a.elements[:i]...), a.elements[i+1:]...)
	return newArray(elements), nil
}
