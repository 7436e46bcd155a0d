package vm

import (
	"strings"
	"unicode/utf8"
)

// text is a string of valid UTF-8. Appending makes a rope, which becomes flat when its letters are
// asked for: a chain of + costs what its result is long.
type text struct {
	s           string
	left, right *text // of a rope
	size        int   // in bytes
	count       int   // in runes, or -1
	runes       []rune
}

func newText(s string) *text {
	return &text{s: s, size: len(s), count: -1}
}

// cleanText makes valid UTF-8 of what may be none.
func cleanText(s string) *text {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	return newText(s)
}

// constant makes a text that evaluations share: nothing is left to be filled in.
func constant(s string) *text {
	t := cleanText(s)
	t.runes = []rune(t.s)
	t.count = len(t.runes)
	return t
}

var empty = constant("")

// say charges for a string and makes a value of it.
func (m *machine) say(s string) (value, *fault) {
	return newText(s), m.charge(len(s) + sizeText)
}

// sayBytes makes a value of what may be no UTF-8.
func (m *machine) sayBytes(data []byte) (value, *fault) {
	size := len(data)
	if !utf8.Valid(data) {
		size *= 8 // runes of 4 bytes, and U+FFFD, which has 3, for each bad byte
	}
	if f := m.charge(size + sizeText); f != nil {
		return nil, f
	}
	return cleanText(string(data)), nil
}

// short is where copying is cheaper than a rope.
const short = 64

func (m *machine) concat(a, b *text) (value, *fault) {
	switch {
	case a.size == 0:
		return b, nil
	case b.size == 0:
		return a, nil
	case a.size+b.size > maxText:
		return nil, limited(TooMuchMemory)
	}
	joined := &text{left: a, right: b, size: a.size + b.size, count: -1}
	if joined.size <= short && a.left == nil && b.left == nil {
		joined.s, joined.left, joined.right = a.s+b.s, nil, nil
	}
	return joined, m.charge(sizeText)
}

// flat returns the letters. The loop takes a stack of its own: ropes are as deep as loops are long.
func (t *text) flat(m *machine) (string, *fault) {
	if t.left == nil {
		return t.s, nil
	}
	if f := m.charge(t.size); f != nil {
		return "", f
	}
	buffer := make([]byte, t.size)
	// From the right end, as ropes lean to the left.
	end := t.size
	todo := append(make([]*text, 0, 32), t)
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for next.left != nil {
			todo = append(todo, next.left)
			next = next.right
		}
		end -= copy(buffer[end-next.size:end], next.s)
	}
	t.s, t.left, t.right = string(buffer), nil, nil
	return t.s, nil
}

func (t *text) length(m *machine) (int, *fault) {
	if t.count < 0 {
		s, f := t.flat(m)
		if f != nil {
			return 0, f
		}
		if f := m.work(len(s) >> 4); f != nil {
			return 0, f
		}
		t.count = utf8.RuneCountInString(s)
	}
	return t.count, nil
}

// at returns a letter, whose index is within the string.
func (t *text) at(m *machine, index int) (value, *fault) {
	s, f := t.flat(m)
	if f != nil {
		return nil, f
	}
	if t.count == t.size {
		return letter(rune(s[index])), nil
	}
	runes, f := t.letters(m)
	if f != nil {
		return nil, f
	}
	return letter(runes[index]), nil
}

func (t *text) letters(m *machine) ([]rune, *fault) {
	if t.runes == nil {
		s, f := t.flat(m)
		if f != nil {
			return nil, f
		}
		if f := m.charge(4 * len(s)); f != nil {
			return nil, f
		}
		t.runes = []rune(s)
		t.count = len(t.runes)
	}
	return t.runes, nil
}

// cut returns the letters from one index up to another, both within the string.
func (t *text) cut(m *machine, from, to int) (value, *fault) {
	s, f := t.flat(m)
	if f != nil {
		return nil, f
	}
	if t.count == t.size {
		return m.say(s[from:to])
	}
	if t.runes != nil {
		if f := m.charge(to - from + sizeText); f != nil {
			return nil, f
		}
		return newText(string(t.runes[from:to])), nil
	}
	if f := m.work(to >> 4); f != nil {
		return nil, f
	}
	start := skip(s, from)
	return m.say(s[start : start+skip(s[start:], to-from)])
}

// skip returns where the n-th letter begins.
func skip(s string, n int) int {
	at := 0
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

var letters = func() (l [utf8.RuneSelf]value) {
	for r := range l {
		l[r] = constant(string(rune(r)))
	}
	return l
}()

func letter(r rune) value {
	if r >= 0 && r < utf8.RuneSelf {
		return letters[r]
	}
	return &text{s: string(r), size: len(string(r)), count: 1}
}

func compareTexts(m *machine, a, b *text) (int, *fault) {
	x, f := a.flat(m)
	if f != nil {
		return 0, f
	}
	y, f := b.flat(m)
	if f != nil {
		return 0, f
	}
	return strings.Compare(x, y), m.work(min(len(x), len(y)) >> 6) // UTF-8 sorts as its runes do
}
