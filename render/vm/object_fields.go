package vm

import (
	"slices"
	"strings"
)

// hiding reports whether the object has the field, and how it is hidden.
func (o *object) hiding(name string) (hiding, bool) {
	found := false
	for i := 0; i < len(o.layers); i++ {
		l := o.layers[i]
		hide, has := inherit, false
		switch {
		case l.keep != nil:
			hide, has = l.keep[name]
			i += l.span
		case l.data != nil:
			_, has = l.data[name]
		case l.shape != nil:
			if n := l.shape.find(name); n >= 0 {
				hide, has = l.shape.fields[n].hide, true
			}
		}
		if has && hide != inherit {
			return hide, true
		}
		found = found || has
	}
	return inherit, found
}

// hidings returns how each field is hidden.
func (o *object) hidings(m *machine) (map[string]hiding, *fault) {
	all := make(map[string]hiding)
	add := func(name string, hide hiding) {
		if known, has := all[name]; !has || known == inherit {
			all[name] = hide
		}
	}
	for i := 0; i < len(o.layers); i++ {
		l := o.layers[i]
		fields := len(l.keep) + len(l.data)
		if l.shape != nil {
			fields = len(l.shape.fields)
		}
		if f := m.work(1 + fields); f != nil {
			return nil, f
		}
		switch {
		case l.keep != nil:
			for name, hide := range l.keep {
				add(name, hide)
			}
			i += l.span
		case l.data != nil:
			for name := range l.data {
				add(name, inherit)
			}
		case l.shape != nil:
			for n := range l.shape.fields {
				add(l.shape.fields[n].name, l.shape.fields[n].hide)
			}
		}
		if f := m.charge(len(all)); f != nil {
			return nil, f
		}
	}
	return all, m.charge(64 * len(all))
}

// names returns the names of the fields, sorted. The caller must not change them.
func (o *object) names(m *machine, withHidden bool) ([]string, *fault) {
	if len(o.layers) == 1 && o.layers[0].shape != nil && !withHidden {
		return o.layers[0].shape.sorted, m.tick()
	}
	var names []string
	if len(o.layers) == 1 && o.layers[0].data != nil {
		names = make([]string, 0, len(o.layers[0].data))
		for name := range o.layers[0].data {
			names = append(names, name)
		}
	} else {
		all, f := o.hidings(m)
		if f != nil {
			return nil, f
		}
		for name, hide := range all {
			if withHidden || hide != hidden {
				names = append(names, name)
			}
		}
	}
	if f := m.work(len(names)); f != nil {
		return nil, f
	}
	slices.SortFunc(names, strings.Compare)
	return names, m.charge(32 * len(names))
}

// extended is a + b for objects.
func (m *machine) extended(a, b *object) (value, *fault) {
	if f := m.charge(sizeObject + sizeSlot*(len(a.layers)+len(b.layers))); f != nil {
		return nil, f
	}
	return &object{layers: slices.Concat(b.layers, a.layers)}, nil
}

// without is the object less a field.
func (o *object) without(m *machine, name string) (value, *fault) {
	keep, f := o.hidings(m)
	if f != nil {
		return nil, f
	}
	if f := m.charge(sizeObject + sizeSlot*len(o.layers)); f != nil {
		return nil, f
	}
	delete(keep, name)
	top := &layer{keep: keep, span: len(o.layers)}
	return &object{layers: append([]*layer{top}, o.layers...)}, nil
}
