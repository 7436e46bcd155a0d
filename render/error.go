package render

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/google/go-jsonnet/ast"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render/vm"
)

// Kind says what kind of error befell a template.
type Kind string

// The kinds of errors.
const (
	// KindFile: the template can't be read.
	KindFile Kind = "file"
	// KindSyntax: a file is not valid Jsonnet, or not function(ctx).
	KindSyntax Kind = "syntax"
	// KindImport: an import is not there, or not allowed.
	KindImport Kind = "import"
	// KindRuntime: the evaluation failed, or the template raised an error.
	KindRuntime Kind = "runtime"
	// KindResult: what the template returned is no message.
	KindResult Kind = "result"
	// KindTimeout: the evaluation took too long.
	KindTimeout Kind = "timeout"
	// KindLimit: the evaluation needs too much memory.
	KindLimit Kind = "limit"
	// KindCtx: ctx is nested too deeply.
	KindCtx Kind = "ctx"
)

// Error says what is wrong with a template, and where.
type Error struct {
	Kind Kind
	// File is the file as the operator named it, or as it was imported. Line and Column begin with 1,
	// and are 0 where the error has no place in the file.
	File         string
	Line, Column int
	// Message may hold what a person typed, where Kind is KindRuntime.
	Message string
	// Err is the cause, if there is one.
	Err error

	// literal is set if Message is wholly text of the sources or of the interpreter.
	literal bool
}

// Error has all that is known: it may hold what a person typed.
func (e *Error) Error() string { return e.place() + ": " + e.Message }

// Safe is Error without what a person may have typed.
func (e *Error) Safe() string {
	if e.Kind == KindRuntime && !e.literal {
		return e.place() + ": runtime error (its text may hold what a person typed: see log_recipients)"
	}
	return e.Error()
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) place() string {
	if e.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
}

func describeFileError(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file"
	}
	return cause(err).Error()
}

// staticError makes an Error of one that the parser found.
func staticError(err error) *Error {
	e := &Error{Kind: KindSyntax, Message: err.Error(), Err: err}
	var located interface{ Loc() ast.LocationRange }
	if errors.As(err, &located) {
		loc := located.Loc()
		e.File, e.Line, e.Column = loc.FileName, loc.Begin.Line, loc.Begin.Column
		// The parser puts the place before the message.
		e.Message = strings.TrimPrefix(e.Message, loc.String()+" ")
	}
	return e
}

// runtimeError makes an Error, or a cancellation, of what an evaluation ended with.
func (p *program) runtimeError(err error, o Options) error {
	var failure *vm.Error
	if !errors.As(err, &failure) {
		return err
	}
	e := &Error{File: p.source.Main, Message: failure.Message}
	switch failure.Kind {
	case vm.Cancelled:
		return fmt.Errorf("evaluating %s: %w", p.source.Main, errors.Unwrap(failure))
	case vm.TimedOut:
		e.Kind, e.Message = KindTimeout, fmt.Sprintf("the evaluation took longer than %s", o.Timeout)
		return e
	case vm.Limited:
		e.Kind = KindLimit
		if failure.Message == vm.TooMuchMemory {
			e.Message = fmt.Sprintf("the evaluation allocates more than render_memory, %d MB", o.Memory/1e6)
		}
	case vm.TooLarge:
		e.Kind = KindResult
		return e
	default:
		// As Ory does, for "cancel: why" and "cancelled" too.
		if strings.HasPrefix(failure.Message, "cancel") {
			return ErrCancelled
		}
		e.Kind, e.literal = KindRuntime, p.isLiteral(failure.Message)
	}
	if failure.Line > 0 {
		e.File, e.Line, e.Column = failure.File, failure.Line, failure.Column
	}
	return e
}

// spoken are messages of the interpreter that hold nothing of the data but what their group
// captures.
var spoken = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`Field does not exist: (.*)`,
	`Unexpected type \w+, expected \w+`,
	`Unexpected type \w+`,
	`Index -?\d+ out of bounds, not within \[0, \d+\)`,
	`Value non indexable: [\w*.]+`,
	`Missing argument: (\w+)`,
	`function has no parameter (\w+)`,
	`function expected \d+ positional argument\(s\), but got \d+`,
	`Division by zero\.`,
	`max stack frames exceeded\.`,
	`max manifest depth exceeded, possible infinite recursion`,
	`couldn't manifest function as JSON`,
	`Attempt to use super when there is no super class\.`,
	`Not a number`,
	`Overflow`,
	`Truncated format code\.`,
	`Mapping keys required\.`,
	`(?:Not enough|Too many) values to format: \d+, expected (?:at least |more than )?\d+`,
	`Format required number at (?:\d+|(.*)), got \w+`,
	`Object assertion failed\.`,
	`Assertion failed`,
}, `|`) + `)$`)

// Spells reports whether the template, or what it imports, spells a string out.
func (t *Template) Spells(s string) bool { return t.current.Load().literals[s] }

// Place is where the template, or what it imports, makes a field of a name first: file:line:column. Where it makes
// none, it is where the template begins.
func (t *Template) Place(field string) string {
	p := t.current.Load()
	loc, known := p.fields[field]
	if !known {
		return t.path + ":1:1"
	}
	return fmt.Sprintf("%s:%d:%d", loc.FileName, loc.Begin.Line, loc.Begin.Column)
}

// isLiteral reports whether a message is wholly text of the sources or of the interpreter.
func (p *program) isLiteral(message string) bool {
	if p.literals[message] {
		return true
	}
	captured := spoken.FindStringSubmatch(message)
	if captured == nil {
		return false
	}
	for _, name := range captured[1:] {
		if name != "" && !p.literals[name] {
			return false
		}
	}
	return true
}
