package render

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render/vm"
)

const (
	// MaxDepth is how deep ctx may be nested. An evaluation may nest twice that.
	MaxDepth = 256
	// MaxOutput is how large a message may be, in bytes of JSON.
	MaxOutput = 5 << 20
)

// ErrCancelled says that the template wants no mail to be sent: it raised error "cancel", as in
// Ory's own templates, or returned null.
var ErrCancelled = errors.New("the template cancelled")

// slots bounds the evaluations that run at once in the process, and with that their memory: more would
// only slow each other down, until all run out of time.
var slots = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// Render evaluates the template over ctx, which is as encoding/json decodes an object into any, and returns the
// message as encoding/json would decode it with UseNumber. The caller owns the message. Errors are ErrCancelled, an
// *Error, or that of the context.
func (t *Template) Render(ctx context.Context, data any) (map[string]any, error) {
	if tooDeep(data, MaxDepth) {
		return nil, &Error{Kind: KindCtx, File: t.path, Message: fmt.Sprintf("ctx is nested deeper than %d levels", MaxDepth)}
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the evaluation of %s: %w", t.path, ctx.Err())
	}
	defer func() { <-slots }()
	return t.current.Load().run(ctx, data, t.options)
}

func (p *program) run(ctx context.Context, data any, o Options) (message map[string]any, err error) {
	defer func() {
		if recover() != nil {
			// What it says may hold what a person typed.
			message, err = nil, &Error{Kind: KindRuntime, File: p.source.Main, Message: "the interpreter crashed", literal: true}
		}
	}()
	result, err := p.compiled.Run(ctx, data, vm.Bounds{
		Depth: 2 * MaxDepth, Memory: o.Memory, Output: MaxOutput, Deadline: time.Now().Add(o.Timeout),
	})
	if err != nil {
		return nil, p.runtimeError(err, o)
	}
	return p.check(result)
}

// check takes an object for a message, and null for a cancellation.
func (p *program) check(result any) (map[string]any, error) {
	kind := ""
	switch result := result.(type) {
	case map[string]any:
		return result, nil
	case nil:
		return nil, ErrCancelled
	case []any:
		kind = "an array"
	case string:
		kind = "a string"
	case bool:
		kind = "a boolean"
	default:
		kind = "a number"
	}
	return nil, &Error{
		Kind: KindResult, File: p.source.Main, Message: "the template must return an object or null, and returned " + kind,
	}
}

// tooDeep reports whether a value is nested deeper than limit.
func tooDeep(value any, limit int) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, child := range value {
			if nested(child) && (limit == 0 || tooDeep(child, limit-1)) {
				return true
			}
		}
	case []any:
		for _, child := range value {
			if nested(child) && (limit == 0 || tooDeep(child, limit-1)) {
				return true
			}
		}
	}
	return false
}

func nested(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
