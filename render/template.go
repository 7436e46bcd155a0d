package render

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render/vm"
)

// DefaultTimeout is how long one evaluation may take where Options say nothing.
const DefaultTimeout = time.Second

// DefaultMemory is how many bytes one evaluation may allocate where Options say nothing.
const DefaultMemory = 128_000_000

// loadTimeout is how long Load waits for files to be read and compiled.
const loadTimeout = 30 * time.Second

// Options say how a template is read and evaluated.
type Options struct {
	// Imports are folders that the template may import from, beside its own.
	Imports []string
	// LastGood is the folder where the last good sources are kept. Where it is empty, none are.
	LastGood string
	// Timeout is how long one evaluation may take. Default: DefaultTimeout.
	Timeout time.Duration
	// Memory is how many bytes one evaluation may allocate, freed or not, roughly. Default: DefaultMemory.
	Memory int
	// Poll is how often Watch looks at the files. Default: 500 ms.
	Poll time.Duration
}

// A Template is a Jsonnet file that evaluates to function(ctx). It may be used by several
// goroutines at once.
type Template struct {
	path    string
	options Options
	current atomic.Pointer[program]
	// broken is the error that keeps a newer source out.
	broken atomic.Pointer[error]
}

// Status says what is in force.
type Status struct {
	// Path is the template's file as it was given to Load.
	Path string
	// Version is a short hash of the template and all that it imports.
	Version string
	// LoadedAt is when this version came into force.
	LoadedAt time.Time
	// Err says why the files on disk are not in force, if they are not.
	Err error
}

// Load reads and parses a template and all that it imports. Where they are broken and a last good
// version is kept, that one is taken and Status has the error; else the error is an *Error.
func Load(path string, o Options) (*Template, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Poll == 0 {
		o.Poll = pollInterval
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	t := &Template{path: filepath.Clean(path), options: o}
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	read := t.read(ctx, nil)
	p := read.program
	if err := read.err; err != nil {
		p = t.loadLastGood()
		if p == nil {
			return nil, err
		}
		t.broken.Store(&err)
	}
	t.current.Store(p)
	return t, nil
}

// Status returns what is in force.
func (t *Template) Status() Status {
	p := t.current.Load()
	s := Status{Path: t.path, Version: p.version, LoadedAt: p.loadedAt}
	if broken := t.broken.Load(); broken != nil {
		s.Err = *broken
	}
	return s
}

// program is one version of a template, ready to run.
type program struct {
	source   *source
	version  string
	loadedAt time.Time
	compiled *vm.Program
	// literals are the strings that the sources spell out.
	literals map[string]bool
	// fields are where fields of a name are made first.
	fields map[string]ast.LocationRange
	// files are those of the source, the main one first, and numbers where they are in there.
	files   []vm.File
	numbers map[string]int
	// unparsed are the numbers of files that are code and wait to be parsed.
	unparsed []int
	bounder  bounder
}

// compile parses the sources, following their imports.
func compile(s *source) (p *program, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			p, err = nil, &Error{Kind: KindSyntax, File: s.Main, Message: fmt.Sprintf("the parser crashed: %v", problem)}
		}
	}()
	p = &program{
		source:   s,
		loadedAt: time.Now(),
		literals: make(map[string]bool),
		fields:   make(map[string]ast.LocationRange),
		numbers:  make(map[string]int),
	}
	main, err := s.main()
	if err != nil {
		return nil, &Error{Kind: KindFile, File: s.Main, Message: describeFileError(err), Err: err}
	}
	p.add(s.Main, main, true)
	for len(p.unparsed) > 0 {
		next := p.unparsed[0]
		p.unparsed = p.unparsed[1:]
		if err := p.parse(&p.files[next]); err != nil {
			return nil, err
		}
		if err := p.follow(p.files[next].Node); err != nil {
			return nil, err
		}
	}
	if err := checkFunction(p.files[0].Node, s.Main); err != nil {
		return nil, err
	}
	p.version = s.version()
	p.compiled = vm.Compile(p.files, func(from, imported string) (int, bool) {
		number, ok := p.numbers[s.Found[from][imported]]
		return number, ok
	})
	p.files, p.numbers, p.bounder = nil, nil, bounder{} // not needed any longer
	return p, nil
}

// add takes up a file for the evaluation. Code is parsed later.
func (p *program) add(name string, contents []byte, code bool) {
	number, known := p.numbers[name]
	if !known {
		number = len(p.files)
		p.numbers[name] = number
		p.files = append(p.files, vm.File{Name: name, Contents: contents})
	}
	if code && p.files[number].Node == nil && !slices.Contains(p.unparsed, number) {
		p.unparsed = append(p.unparsed, number)
	}
}

// byteOrderMark is what some editors write in front of a text. It is no part of the code.
const byteOrderMark = "\uFEFF"

// parse is the only way to go-jsonnet's parser.
func (p *program) parse(file *vm.File) error {
	code := strings.TrimPrefix(string(file.Contents), byteOrderMark)
	if err := p.bounder.check(file.Name, code); err != nil {
		return err
	}
	node, err := jsonnet.SnippetToAST(file.Name, code)
	if err != nil {
		return staticError(err)
	}
	file.Node = node
	return nil
}

func (p *program) locate(object *ast.DesugaredObject) {
	for _, field := range object.Fields {
		name, ok := field.Name.(*ast.LiteralString)
		if !ok || !field.LocRange.IsSet() {
			continue
		}
		if _, known := p.fields[name.Value]; !known {
			p.fields[name.Value] = field.LocRange
		}
	}
}

// follow adds what the node imports.
func (p *program) follow(node ast.Node) error {
	var imported *ast.LiteralString
	switch node := node.(type) {
	case nil:
		return nil
	case *ast.LiteralString:
		p.literals[node.Value] = true
		return nil
	case *ast.DesugaredObject:
		p.locate(node)
	case *ast.Import:
		imported = node.File
	case *ast.ImportStr:
		imported = node.File
	case *ast.ImportBin:
		imported = node.File
	}
	if imported == nil {
		for _, child := range toolutils.Children(node) {
			if err := p.follow(child); err != nil {
				return err
			}
		}
		return nil
	}
	loc := node.Loc()
	contents, foundAt, err := p.source.resolve(loc.FileName, imported.Value)
	if err != nil {
		return &Error{
			Kind: KindImport, File: loc.FileName, Line: loc.Begin.Line, Column: loc.Begin.Column,
			Message: "importing \"" + imported.Value + "\": " + err.Error(), Err: err,
		}
	}
	_, code := node.(*ast.Import)
	p.add(foundAt, contents, code)
	return nil
}

// checkFunction refuses a template of which the syntax shows that it is not function(ctx).
func checkFunction(node ast.Node, file string) error {
	root := node
	for {
		switch n := root.(type) {
		case *ast.Local:
			root = n.Body
			continue
		case *ast.Parens:
			root = n.Inner
			continue
		}
		break
	}
	problem := ""
	switch n := root.(type) {
	case *ast.Function:
		problem = checkParameters(n.Parameters)
	case *ast.DesugaredObject, *ast.Array, *ast.LiteralString, *ast.LiteralNumber, *ast.LiteralBoolean, *ast.LiteralNull:
		problem = "a template must be a function: write function(ctx) before it"
	}
	if problem == "" {
		return nil
	}
	loc := root.Loc()
	return &Error{Kind: KindSyntax, File: file, Line: loc.Begin.Line, Column: loc.Begin.Column, Message: problem}
}

func checkParameters(parameters []ast.Parameter) string {
	takesCtx := false
	for _, parameter := range parameters {
		switch {
		case parameter.Name == "ctx":
			takesCtx = true
		case parameter.DefaultArg == nil:
			return "a template must be function(ctx): nothing gives it the parameter " + string(parameter.Name)
		}
	}
	if !takesCtx {
		return "a template must be function(ctx): it has no parameter of that name"
	}
	return ""
}
