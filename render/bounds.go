package render

import (
	"fmt"
	"strings"
)

const (
	// MaxSource is how large a template may be with all that it imports, in bytes.
	MaxSource = 16 << 20
	// maxBrackets is how deep brackets may nest. Each takes 41 KB of stack in go-jsonnet's parser.
	maxBrackets = 250
	// maxChain is how many operators, keywords, calls and indexes an expression may have between two commas. Each
	// may nest in the one before, and takes up to 5 KB of stack.
	maxChain = 10_000
	// maxWork bounds what go-jsonnet does. A unit takes up to 50 bytes and 0.1 µs.
	maxWork = 10_000_000
)

// bounder bounds what go-jsonnet needs to parse and analyze a file. Its parser is recursive, and a stack overflow ends
// the process. So tokens are counted before the parser runs; where the count is not exact, it is too high.
type bounder struct {
	scanner
	frames []frame
	// brackets is how deep brackets are nested here. The others are sums over all frames.
	brackets, chain, names, copies int
	// work goes on from file to file of a template.
	work, tokens int
	// before is the previous token: its kind, or the first letter of one of the keywords in count.
	before byte
	// parameters is the number of arguments or parameters in the parentheses that were closed last.
	parameters int
}

// frame is what is between two brackets, or between local or assert and its semicolon.
type frame struct {
	// open is the bracket, or ; for local and assert.
	open byte
	// chain is its length since the last comma, and tokens the number of tokens before the frame.
	chain, tokens int
	// names is the number of names that are in scope in the whole frame, and passing of those that are in scope up
	// to the next comma.
	names, passing int
	// copies is 1 in a local of an object: go-jsonnet copies its syntax tree.
	copies int
	// function is set where parentheses have the parameters of a function.
	function bool
}

// check returns an error with the place where a file exceeds the bounds. It stops without an error where go-jsonnet's
// lexer fails: go-jsonnet then reports that, and parses nothing.
func (b *bounder) check(file, text string) error {
	*b = bounder{scanner: scanner{text: text}, frames: make([]frame, 1, 32), work: b.work}
	for {
		kind := b.next()
		b.count(kind)
		problem := ""
		switch {
		case b.brackets > maxBrackets:
			problem = fmt.Sprintf("brackets are nested deeper than %d levels: "+
				"give inner parts a name with local, or move them to a file that is imported", maxBrackets)
		case b.chain > maxChain:
			problem = fmt.Sprintf("an expression has more than %d parts: split it with local, or use std.join", maxChain)
		case b.work > maxWork:
			problem = "the template and its imports have too much code: " +
				"load texts with importstr, and data with std.parseJson(importstr 'data.json')"
		case kind == end:
			return nil
		default:
			continue
		}
		before := text[:b.start]
		return &Error{
			Kind: KindSyntax, File: file, Message: problem,
			Line: 1 + strings.Count(before, "\n"), Column: b.start - strings.LastIndexByte(before, '\n'),
		}
	}
}

func (b *bounder) count(kind byte) {
	parameters, before := b.parameters, b.before
	b.parameters, b.before = 0, kind
	switch kind {
	case '(', '[', '{':
		b.brackets++
		b.open(frame{open: kind, function: before == 'f'})
	case ')', ']', '}':
		b.close()
	case ',':
		b.comma()
	case ';':
		if top := *b.top(); top.open == ';' {
			b.leave()
			b.pass(top.names)
		}
	case '.':
		b.link()
	case operator:
		b.link()
		if sign := b.text[b.start]; sign == ':' || sign == '=' {
			b.pass(parameters) // the parentheses before it declare a function
		}
	case word:
		b.word(before)
	}
	b.tokens++
	b.work += 20 + b.brackets/8 + b.names + 4*b.copies
	// The lexer appends the blanks before the end of a text block one by one.
	margin := min(b.margin, 40_001)
	b.work += margin * (margin / 160)
	b.margin = 0
}

func (b *bounder) word(before byte) {
	switch text := b.text[b.start:b.at]; text {
	case "local", "assert":
		b.before = text[0]
		if top := b.top(); top.open != '{' || before != '{' && before != ',' {
			b.open(frame{open: ';'})
		} else if text == "local" {
			top.copies = 1
			b.copies++
		}
	case "function":
		b.before = 'f'
		b.link()
	case "for":
		b.link()
		b.bind(1)
	case "if", "error", "import", "importstr", "importbin", "in":
		b.link()
	default:
		if before == 'l' || before == ',' && b.top().open == ';' {
			b.bind(1 + len(text)/16)
		}
	}
}

func (b *bounder) top() *frame { return &b.frames[len(b.frames)-1] }

func (b *bounder) link() {
	b.top().chain++
	b.chain++
}

// bind adds a name to the current frame. It is in scope for earlier tokens of the frame too.
func (b *bounder) bind(weight int) {
	b.top().names += weight
	b.names += weight
	b.work += b.tokens - b.top().tokens
}

func (b *bounder) pass(names int) {
	b.top().passing += names
	b.names += names
}

func (b *bounder) open(f frame) {
	b.link()
	f.tokens = b.tokens
	b.frames = append(b.frames, f)
}

func (b *bounder) comma() {
	top := b.top()
	b.chain -= top.chain
	b.names -= top.passing
	b.copies -= top.copies
	top.chain, top.passing, top.copies = 0, 0, 0
	if top.open == '(' {
		b.bind(1) // it may separate parameters
	}
}

// leave ends the current frame.
func (b *bounder) leave() {
	top := b.top()
	b.chain -= top.chain
	b.names -= top.names + top.passing
	b.copies -= top.copies
	b.frames = b.frames[:len(b.frames)-1]
}

// close ends the frames up to the last bracket.
func (b *bounder) close() {
	for b.top().open == ';' {
		b.leave()
	}
	top := *b.top()
	if top.open == 0 {
		return
	}
	b.leave()
	b.brackets--
	switch {
	case top.function:
		b.pass(top.names + 1)
	case top.open == '(':
		b.parameters = top.names + 1
	}
}
