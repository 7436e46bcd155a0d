package render

import (
	"strings"
)

// scanner reads the words and signs of Jsonnet, and passes over blanks and comments, as go-jsonnet's lexer does.
type scanner struct {
	text string
	// start is where the token begins that was read last, and at is behind it.
	start, at int
	// margin is how many blanks there are before the end of a text block.
	margin int
}

// The kinds of tokens. A bracket, a comma, a semicolon or a dot is its own kind.
const (
	end      = 0
	word     = 'w'
	literal  = 's'
	operator = 'o' // one sign of it
)

// next returns the kind of the next token: end too where the lexer finds an error, as nothing is parsed then.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		s.start = s.at
		rest := s.text[s.at:]
		switch c := rest[0]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			s.at++
		case c == '#', strings.HasPrefix(rest, "//"):
			s.skip(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			if !s.skip(rest[2:], "*/") {
				return end
			}
		default:
			return s.token(rest, c)
		}
	}
	return end
}

// skip passes over what ends with the mark, and over the mark. It reports whether the mark is there.
func (s *scanner) skip(rest, mark string) bool {
	i := strings.Index(rest, mark)
	if i < 0 {
		s.at = len(s.text)
		return false
	}
	s.at = len(s.text) - len(rest) + i + len(mark)
	return true
}

func (s *scanner) token(rest string, c byte) byte {
	switch {
	case strings.IndexByte("()[]{},;.", c) >= 0:
		s.at++
		return c
	case isWord(c) && !isDigit(c):
		for s.at < len(s.text) && isWord(s.text[s.at]) {
			s.at++
		}
		return word
	case isDigit(c):
		s.number()
		return literal
	case c == '"', c == '\'':
		return s.quoted(c)
	case c == '@':
		return s.verbatim()
	case strings.HasPrefix(rest, "|||"):
		return s.block()
	case strings.IndexByte("!$:~+-&|^=<>*/%", c) >= 0:
		s.at++
		return operator
	}
	return end
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) }

func (s *scanner) number() {
	s.digits()
	if s.accept(".") {
		s.digits()
	}
	if s.accept("eE") {
		s.accept("+-")
		s.digits()
	}
}

func (s *scanner) digits() {
	for s.accept("0123456789_") {
	}
}

// accept passes over a byte that is one of the letters.
func (s *scanner) accept(letters string) bool {
	if s.at == len(s.text) || strings.IndexByte(letters, s.text[s.at]) < 0 {
		return false
	}
	s.at++
	return true
}

func (s *scanner) quoted(quote byte) byte {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case quote:
			s.at++
			return literal
		case '\\':
			s.at++
		}
	}
	return end
}

// verbatim is a string in which a doubled quote stands for one.
func (s *scanner) verbatim() byte {
	s.at++
	if !s.accept(`"'`) {
		return end
	}
	quote := s.text[s.at-1 : s.at]
	for s.skip(s.text[s.at:], quote) {
		if !s.accept(quote) {
			return literal
		}
	}
	return end
}

// block is a text block: it ends before the first line that does not begin with the indentation of its first line.
func (s *scanner) block() byte {
	s.at += len("|||")
	s.accept("-")
	s.blanks(" \t\r")
	if !s.accept("\n") {
		return end
	}
	s.blanks("\n")
	indentation := s.blanks(" \t")
	s.at -= len(indentation)
	for strings.HasPrefix(s.text[s.at:], indentation) {
		if indentation == "" || !s.skip(s.text[s.at:], "\n") {
			return end
		}
		s.blanks("\n")
	}
	s.margin = len(s.blanks(" \t"))
	if !strings.HasPrefix(s.text[s.at:], "|||") {
		return end
	}
	s.at += len("|||")
	return literal
}

// blanks passes over the letters that are among the given ones, and returns them.
func (s *scanner) blanks(letters string) string {
	start := s.at
	for s.accept(letters) {
	}
	return s.text[start:s.at]
}
