package vm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render/vm"
)

// bounds are so narrow that go-jsonnet isn't asked for what it would die of: large strings and arrays, which its std
// goes through with recursion.
var bounds = vm.Bounds{Depth: 512, Memory: 512 << 10, Output: 5 << 20}

const mainFile = "t.jsonnet"

// outcome is what an evaluation came to: a value, or an error with its place.
type outcome struct {
	value   any
	message string
	file    string
	line    int
	column  int
	// bounded is set where the bounds ended it.
	bounded bool
}

// files are a program and what it imports, by name. Its own name is mainFile.
type files map[string]string

// ours evaluates a program with this package.
func (fs files) ours(t testing.TB, ctx any) outcome {
	t.Helper()
	return fs.run(t, fs.compile(t), ctx)
}

func (fs files) compile(t testing.TB) *vm.Program {
	t.Helper()
	list, numbers := []vm.File{{Name: mainFile}}, map[string]int{mainFile: 0}
	for name := range fs {
		if name != mainFile {
			numbers[name] = len(list)
			list = append(list, vm.File{Name: name})
		}
	}
	for i := range list {
		text := fs[list[i].Name]
		node, err := jsonnet.SnippetToAST(list[i].Name, text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		list[i].Node, list[i].Contents = node, []byte(text)
	}
	return vm.Compile(list, func(_, imported string) (int, bool) {
		number, ok := numbers[imported]
		return number, ok
	})
}

func (fs files) run(t testing.TB, compiled *vm.Program, ctx any) outcome {
	t.Helper()
	limits := bounds
	limits.Deadline = time.Now().Add(10 * time.Second)
	output, err := compiled.Run(t.Context(), ctx, limits)
	var failure *vm.Error
	if errors.As(err, &failure) {
		return outcome{
			message: failure.Message, file: failure.File, line: failure.Line, column: failure.Column,
			bounded: failure.Kind != vm.Failed,
		}
	}
	return outcome{value: plainly(t, output)}
}

// plainly has encoding/json make floats of a value's numbers. With UseNumber, it must make the value itself.
func plainly(t testing.TB, value any) (plain any) {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%v in %v", err, value)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var again any
	if err := errors.Join(decoder.Decode(&again), json.Unmarshal(encoded, &plain)); err != nil {
		t.Fatalf("%v in %q", err, encoded)
	}
	if !reflect.DeepEqual(value, again) {
		t.Errorf("%#v is %#v to encoding/json", value, again)
	}
	return plain
}

var ctxNode = func() ast.Node {
	node, err := jsonnet.SnippetToAST("ctx", "std.native('ctx')()")
	if err != nil {
		panic(err)
	}
	return node
}()

// plain evaluates a program with go-jsonnet.
func (fs files) plain(t testing.TB, ctx any) outcome {
	t.Helper()
	node, err := jsonnet.SnippetToAST(mainFile, fs[mainFile])
	if err != nil {
		t.Fatalf("%v in %s", err, fs[mainFile])
	}
	contents := make(map[string]jsonnet.Contents)
	for name, text := range fs {
		contents[name] = jsonnet.MakeContents(text)
	}
	machine := jsonnet.MakeVM()
	machine.MaxStack = bounds.Depth
	machine.SetTraceOut(io.Discard)
	machine.Importer(&jsonnet.MemoryImporter{Data: contents})
	machine.NativeFunction(&jsonnet.NativeFunction{Name: "ctx", Func: func([]any) (any, error) { return ctx, nil }})
	machine.TLANode("ctx", ctxNode)
	output, err := machine.Evaluate(node)
	var failure jsonnet.RuntimeError
	switch {
	case errors.As(err, &failure):
		o := outcome{message: failure.Msg}
		for i := len(failure.StackTrace) - 1; i >= 0; i-- {
			loc := failure.StackTrace[i].Loc
			if _, placed := fs[loc.FileName]; placed && loc.IsSet() {
				o.file, o.line, o.column = loc.FileName, loc.Begin.Line, loc.Begin.Column
				break
			}
		}
		return o
	case err != nil:
		return outcome{message: "crash: " + err.Error()}
	}
	var value any
	if err := json.Unmarshal([]byte(output), &value); err != nil {
		t.Fatalf("%v in %q", err, output)
	}
	return outcome{value: value}
}

// agree compares the two evaluations of a program. go-jsonnet evaluates arguments with tailstrict in
// random order: so it may try several times to come to our error.
func agree(t testing.TB, program string, ctx any) {
	t.Helper()
	files{mainFile: program}.agree(t, ctx)
}

func (fs files) agree(t testing.TB, ctx any) {
	t.Helper()
	got := fs.ours(t, ctx)
	if got.bounded {
		return
	}
	var want outcome
	for range 8 {
		want = fs.plain(t, ctx)
		switch {
		case want.message == tooDeep && got.message != want.message:
			return // std takes fewer frames here
		case want.message == tooDeep, strings.HasPrefix(want.message, "crash: "):
			return // the place depends on where the last frame was taken
		case reflect.DeepEqual(got, want):
			return
		}
	}
	t.Errorf("%s\ngot  %+v\nwant %+v", fs[mainFile], got, want)
}

const tooDeep = "max stack frames exceeded."
