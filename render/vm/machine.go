package vm

import (
	"context"
	"fmt"
	"time"
)

// What an evaluation is charged for, in bytes. They are rough, and rather too much than too little.
const (
	sizeText   = 64
	sizeSlot   = 8
	sizeThunk  = 48
	sizeArray  = 48
	sizeObject = 160
	sizeEnv    = 64

	maxText = 1 << 30

	// An expression takes the stack of its levels, although it is no call: every 32nd level is counted. Calls alone
	// bound the others.
	levels    = 32
	maxNested = 2048
	// period is how many steps pass between two looks at the clock.
	period = 2048
)

// Bounds say what one evaluation may take.
type Bounds struct {
	// Depth is how many calls and values may be under evaluation in one another.
	Depth int
	// Memory is how many bytes may be allocated, those that were freed again included.
	Memory int
	// Output is how large the result may be as JSON, in bytes.
	Output int
	// Deadline is when the evaluation ends.
	Deadline time.Time
}

// code is a compiled expression.
type code func(m *machine, e *env) (value, *fault)

// machine is one evaluation.
type machine struct {
	program *Program
	context context.Context
	bounds  Bounds
	depth   int
	// nested is how many times the levels of expressions under evaluation are in one another.
	nested int
	steps  int
	memory int
	files  []*thunk
	std    *object
	stds   []*object
	// tail is the call that a function ended with, which its caller is to make.
	tail tailCall
}

type tailCall struct {
	function *function
	env      *env
	place    *place
}

// fault is an error on its way out. Its place is that of the innermost code of the template's files.
type fault struct {
	kind    Kind
	message string
	place   *place
	cause   error
}

type place struct {
	file         string
	line, column int
}

func fail(message string) *fault { return &fault{kind: Failed, message: message} }

func failf(format string, args ...any) *fault { return fail(fmt.Sprintf(format, args...)) }

func limited(message string) *fault { return &fault{kind: Limited, message: message} }

const tooDeep = "max stack frames exceeded."

// TooMuchMemory is the message of an evaluation that allocates more than its bounds allow.
const TooMuchMemory = "the evaluation allocates more than its bounds allow"

// at says where a fault came to pass, unless that is known.
func (f *fault) at(p *place) *fault {
	if f != nil && f.place == nil {
		f.place = p
	}
	return f
}

// enter begins something that nests: its end takes one from depth.
func (m *machine) enter() *fault {
	if m.depth >= m.bounds.Depth {
		return fail(tooDeep)
	}
	m.depth++
	return m.tick()
}

// tick counts a step of work.
func (m *machine) tick() *fault {
	m.steps--
	if m.steps > 0 && m.memory >= 0 {
		return nil
	}
	return m.look()
}

// work counts many steps at once.
func (m *machine) work(n int) *fault {
	m.steps -= n
	if m.steps > 0 {
		return nil
	}
	return m.look()
}

func (m *machine) look() *fault {
	m.steps = period
	if m.memory < 0 {
		return limited(TooMuchMemory)
	}
	if time.Now().After(m.bounds.Deadline) {
		return &fault{kind: TimedOut, message: "the evaluation took too long"}
	}
	if err := m.context.Err(); err != nil {
		return &fault{kind: Cancelled, message: "the evaluation was cancelled", cause: err}
	}
	return nil
}

// charge accounts for memory that is about to be allocated, and for the work of filling it.
func (m *machine) charge(bytes int) *fault {
	m.memory -= bytes
	m.steps -= bytes >> 8
	if m.memory >= 0 && m.steps > 0 {
		return nil
	}
	return m.look()
}
