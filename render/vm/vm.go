// Package vm evaluates Jsonnet within bounds.
//
// go-jsonnet parses, desugars and analyses a program; this package makes Go closures of what comes
// out, once, and runs those for each evaluation. Variables are resolved to slots, the standard
// library is Go where that matters, and go-jsonnet's own Jsonnet text of it, compiled in the same way, where it
// doesn't. Every call, loop and allocation is counted: an evaluation ends within its bounds, whatever
// the program and the data are.
//
// Results and errors, with their places, are those of go-jsonnet; a test compares them.
package vm

import (
	"context"
	"fmt"

	"github.com/google/go-jsonnet/ast"
)

// Kind says how an evaluation ended that gave no result.
type Kind int

const (
	// Failed: the program has an error, as go-jsonnet would say.
	Failed Kind = iota
	// Limited: the evaluation needs more memory than its bounds allow.
	Limited
	// TimedOut: the deadline passed.
	TimedOut
	// Cancelled: the context was done.
	Cancelled
	// TooLarge: the result is larger than the bounds allow.
	TooLarge
)

// Error says why an evaluation gave no result.
type Error struct {
	Kind Kind
	// File, Line and Column are the innermost place in a file of the program. Line is 0 where there
	// is none.
	File         string
	Line, Column int
	Message      string
	cause        error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

func (e *Error) Unwrap() error { return e.cause }

// File is one file of a program.
type File struct {
	Name string
	// Node is the parsed file, or nil where it is only imported as a string or as bytes.
	Node     ast.Node
	Contents []byte
}

// Program is ready to run, by several goroutines at once.
type Program struct {
	files []code
}

// Compile makes a program of its files, of which the first is the main one. resolve says which file
// an import means, by its index.
func Compile(files []File, resolve func(from, imported string) (int, bool)) *Program {
	p := &Program{files: make([]code, len(files))}
	texts, arrays := make(imports), make(imports)
	for i, file := range files {
		if file.Node == nil {
			continue
		}
		c := &compiler{file: i, name: file.Name, files: files, resolve: resolve, texts: texts, arrays: arrays, placed: true}
		p.files[i] = c.compile(file.Node, nil, false)
	}
	return p
}

// Run evaluates the program. Where it is a function, it is called with the argument ctx, which is
// as encoding/json decodes. The result is as encoding/json decodes with UseNumber, and belongs to the caller.
func (p *Program) Run(ctx context.Context, data any, b Bounds) (any, error) {
	m := &machine{program: p, context: ctx, bounds: b, steps: period, memory: b.Memory}
	result, f := m.run(data)
	if f == nil {
		return result, nil
	}
	e := &Error{Kind: f.kind, Message: f.message, cause: f.cause}
	if f.place != nil {
		e.File, e.Line, e.Column = f.place.file, f.place.line, f.place.column
	}
	return nil, e
}

func (m *machine) run(data any) (any, *fault) {
	v, f := m.file(0)
	if f != nil {
		return nil, f
	}
	if function, ok := v.(*function); ok {
		argument, f := m.fromData(data)
		if f != nil {
			return nil, f
		}
		if v, f = m.call(function, nil, []namedArg{{"ctx", ready(argument)}}); f != nil {
			return nil, f
		}
	}
	r := &resulting{m: m}
	return r.of(v)
}

// file returns the value of a file, which is evaluated once.
func (m *machine) file(index int) (value, *fault) {
	if m.files == nil {
		m.files = make([]*thunk, len(m.program.files))
	}
	if m.files[index] == nil {
		m.files[index] = &thunk{run: m.program.files[index]}
	}
	return m.files[index].force(m)
}

// fromData makes a value of what encoding/json decoded. Objects stay as they are until their fields
// are asked for.
func (m *machine) fromData(data any) (value, *fault) {
	switch data := data.(type) {
	case nil:
		return null{}, nil
	case bool:
		return data, nil
	case float64:
		return checked(data)
	case string:
		if f := m.work(len(data) >> 4); f != nil {
			return nil, f
		}
		return cleanText(data), m.charge(sizeText)
	case []any:
		if f := m.charge(len(data)*(sizeSlot+sizeThunk) + sizeArray); f != nil {
			return nil, f
		}
		elements := make([]*thunk, len(data))
		for i, element := range data {
			v, f := m.fromData(element)
			if f != nil {
				return nil, f
			}
			elements[i] = ready(v)
		}
		return newArray(elements), nil
	case map[string]any:
		return &object{layers: []*layer{{data: data}}}, m.charge(sizeObject)
	default:
		return nil, failf("Not a json type: %T", data)
	}
}
