package vm_test

import (
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

var bounds = vm.Bounds{Depth: 512, Memory: 128 << 20, Output: 5 << 20}

const mainFile = "t.jsonnet"

// outcome is what an evaluation came to: a value, or an error with its place.
type outcome struct {
	value   any
	message string
	line    int
	column  int
	// bounded is set where the bounds ended it.
	bounded bool
}

// ours evaluates a program with this package.
func ours(t testing.TB, program string, ctx any) outcome {
	t.Helper()
	node, err := jsonnet.SnippetToAST(mainFile, program)
	if err != nil {
		t.Fatalf("%v in %s", err, program)
	}
	compiled := vm.Compile([]vm.File{{Name: mainFile, Node: node}}, func(string, string) (int, bool) { return 0, false })
	limits := bounds
	limits.Deadline = time.Now().Add(10 * time.Second)
	output, err := compiled.Run(t.Context(), ctx, limits)
	var failure *vm.Error
	if errors.As(err, &failure) {
		return outcome{message: failure.Message, line: failure.Line, column: failure.Column, bounded: failure.Kind != vm.Failed}
	}
	var value any
	if err := json.Unmarshal(output, &value); err != nil {
		t.Fatalf("%v in %q", err, output)
	}
	return outcome{value: value}
}

var ctxNode = func() ast.Node {
	node, err := jsonnet.SnippetToAST("ctx", "std.native('ctx')()")
	if err != nil {
		panic(err)
	}
	return node
}()

// plain evaluates a program with go-jsonnet.
func plain(t testing.TB, program string, ctx any) outcome {
	t.Helper()
	node, err := jsonnet.SnippetToAST(mainFile, program)
	if err != nil {
		t.Fatalf("%v in %s", err, program)
	}
	machine := jsonnet.MakeVM()
	machine.MaxStack = bounds.Depth
	machine.SetTraceOut(io.Discard)
	machine.NativeFunction(&jsonnet.NativeFunction{Name: "ctx", Func: func([]any) (any, error) { return ctx, nil }})
	machine.TLANode("ctx", ctxNode)
	output, err := machine.Evaluate(node)
	var failure jsonnet.RuntimeError
	switch {
	case errors.As(err, &failure):
		o := outcome{message: failure.Msg}
		for i := len(failure.StackTrace) - 1; i >= 0; i-- {
			if loc := failure.StackTrace[i].Loc; loc.FileName == mainFile && loc.IsSet() {
				o.line, o.column = loc.Begin.Line, loc.Begin.Column
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
	got := ours(t, program, ctx)
	if got.bounded {
		return
	}
	var want outcome
	for range 8 {
		want = plain(t, program, ctx)
		switch {
		case want.message == tooDeep && got.message != want.message:
			return // std takes fewer frames here
		case want.message == tooDeep, strings.HasPrefix(want.message, "crash: "):
			return // the place depends on where the last frame was taken
		case reflect.DeepEqual(got, want):
			return
		}
	}
	t.Errorf("%s\ngot  %+v\nwant %+v", program, got, want)
}

const tooDeep = "max stack frames exceeded."
