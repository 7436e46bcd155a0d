package vm

import "github.com/google/go-jsonnet/ast"

// imported compiles import, importstr and importbin.
func (c *compiler) imported(node ast.Node) code {
	at := c.place(node)
	switch node := node.(type) {
	case *ast.Import:
		if i, ok := c.resolve(c.name, node.File.Value); ok {
			return func(m *machine, _ *env) (value, *fault) {
				v, f := m.file(i)
				if f != nil {
					return nil, f.at(at)
				}
				return v, nil
			}
		}
	case *ast.ImportStr:
		if i, ok := c.resolve(c.name, node.File.Value); ok {
			return always(c.texts.of(i, func() value { return constant(string(c.files[i].Contents)) }))
		}
	case *ast.ImportBin:
		if i, ok := c.resolve(c.name, node.File.Value); ok {
			return always(c.arrays.of(i, func() value { return bytesArray(c.files[i].Contents) }))
		}
	}
	return func(*machine, *env) (value, *fault) { return nil, fail("no such file").at(at) }
}

// imports are the values of files by their index: a file that is imported a hundred times has one.
type imports map[int]value

func (i imports) of(file int, load func() value) value {
	if i[file] == nil {
		i[file] = load()
	}
	return i[file]
}

var byteThunks = func() (b [256]*thunk) {
	for i := range b {
		b[i] = ready(number(float64(i)))
	}
	return b
}()

func bytesArray(data []byte) value {
	elements := make([]*thunk, len(data))
	for i, b := range data {
		elements[i] = byteThunks[b]
	}
	return newArray(elements)
}
