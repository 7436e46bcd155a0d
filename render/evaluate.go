package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

const (
	// MaxDepth is how deep ctx may be nested. The interpreter's own stack ends at twice that.
	MaxDepth = 256
	// MaxOutput is how large a message may be, in bytes of JSON.
	MaxOutput = 5 << 20

	maxStack = 2 * MaxDepth
)

// ErrCancelled says that the template wants no mail to be sent: it raised error "cancel", as in
// Ory's own templates, or returned null.
var ErrCancelled = errors.New("the template cancelled")

var (
	// slots bounds the evaluations that run at once in the process: more would only slow each other
	// down, until all run out of time.
	slots = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

	// abandoned counts the evaluations that ran out of time and still run. They can't be stopped.
	abandoned    atomic.Int64
	maxAbandoned = int64(4 * cap(slots))
)

// Render evaluates the template over ctx, which is as encoding/json decodes an object into any, and
// returns the message as JSON. Errors are ErrCancelled, an *Error, or that of the context while it
// waits for its turn.
func (t *Template) Render(ctx context.Context, data any) ([]byte, error) {
	if depth(data, MaxDepth) < 0 {
		return nil, &Error{Kind: KindCtx, File: t.path, Message: fmt.Sprintf("ctx is nested deeper than %d levels", MaxDepth)}
	}
	if abandoned.Load() >= maxAbandoned {
		return nil, &Error{Kind: KindBusy, File: t.path, Message: "too many evaluations that ran out of time still run"}
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the evaluation of %s: %w", t.path, ctx.Err())
	}
	defer func() { <-slots }()

	type result struct {
		message []byte
		err     error
	}
	p := t.current.Load()
	done := make(chan result, 1)
	var over atomic.Bool
	go func() {
		message, err := p.run(data)
		if !over.CompareAndSwap(false, true) {
			abandoned.Add(-1)
		}
		done <- result{message, err}
	}()
	timer := time.NewTimer(t.options.Timeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.message, r.err
	case <-timer.C:
		if over.CompareAndSwap(false, true) {
			abandoned.Add(1)
			return nil, &Error{Kind: KindTimeout, File: t.path, Message: fmt.Sprintf("the evaluation took longer than %s", t.options.Timeout)}
		}
		r := <-done
		return r.message, r.err
	}
}

// machine is a Jsonnet VM and the ctx of its present evaluation.
type machine struct {
	vm  *jsonnet.VM
	ctx any
}

// ctxNode is the argument of the template: the call of a native function, whose result is data.
var ctxNode = func() ast.Node {
	node, err := jsonnet.SnippetToAST("ctx", "std.native('ctx')()")
	if err != nil {
		panic(err)
	}
	return node
}()

func (p *program) newMachine() *machine {
	m := &machine{vm: jsonnet.MakeVM()}
	m.vm.MaxStack = maxStack
	// What std.trace prints may be what a person typed.
	m.vm.SetTraceOut(io.Discard)
	m.vm.Importer(newImporter(p.source))
	m.vm.NativeFunction(&jsonnet.NativeFunction{
		Name: "ctx",
		Func: func([]any) (any, error) { return m.ctx, nil },
	})
	m.vm.TLANode("ctx", ctxNode)
	return m
}

// importer hands out what was read when the template was loaded. The interpreter wants the same
// instance of a file's contents each time.
type importer struct {
	source   *source
	contents map[string]jsonnet.Contents
}

func newImporter(s *source) importer {
	i := importer{s, make(map[string]jsonnet.Contents, len(s.Files))}
	for name, contents := range s.Files {
		i.contents[name] = jsonnet.MakeContentsRaw(contents)
	}
	return i
}

func (i importer) Import(from, imported string) (jsonnet.Contents, string, error) {
	foundAt, ok := i.source.Found[from][imported]
	if !ok {
		return jsonnet.Contents{}, "", errNotFound
	}
	return i.contents[foundAt], foundAt, nil
}

// run evaluates the program. It leaves panics to the VM, which makes errors of them.
func (p *program) run(data any) ([]byte, error) {
	var m *machine
	select {
	case m = <-p.idle:
	default:
		m = p.newMachine()
	}
	m.ctx = data
	output, err := m.vm.Evaluate(p.node)
	m.ctx = nil
	select {
	case p.idle <- m:
	default:
	}
	if err != nil {
		return nil, p.runtimeError(err)
	}
	return p.check(output)
}

// check takes an object for a message, and null for a cancellation.
func (p *program) check(output string) ([]byte, error) {
	output = strings.TrimSpace(output)
	kind := ""
	switch output[0] {
	case '{':
		if len(output) > MaxOutput {
			return nil, &Error{Kind: KindResult, File: p.source.Main, Message: fmt.Sprintf("the message is larger than %d bytes", MaxOutput)}
		}
		return []byte(output), nil
	case 'n':
		return nil, ErrCancelled
	case '[':
		kind = "an array"
	case '"':
		kind = "a string"
	case 't', 'f':
		kind = "a boolean"
	default:
		kind = "a number"
	}
	return nil, &Error{Kind: KindResult, File: p.source.Main, Message: "the template must return an object or null, and returned " + kind}
}

// depth returns how deep the value is nested, or -1 if that is more than limit.
func depth(value any, limit int) int {
	if limit < 0 {
		return -1
	}
	deepest := 0
	visit := func(child any) bool {
		d := depth(child, limit-1)
		deepest = max(deepest, d+1)
		return d >= 0
	}
	switch value := value.(type) {
	case map[string]any:
		for _, child := range value {
			if !visit(child) {
				return -1
			}
		}
	case []any:
		for _, child := range value {
			if !visit(child) {
				return -1
			}
		}
	}
	return deepest
}
