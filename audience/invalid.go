package audience

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// InvalidError says what is wrong with a change. It has no values, but may name keys that a template took from
// what a person typed.
type InvalidError struct {
	// Path is the field, such as tags[0].status.
	Path string
	// Problem is what is wrong with it.
	Problem string

	// word is what of the change is in the text.
	word string
}

func (e *InvalidError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Field is the last name of Path, as in the object that has it.
func (e *InvalidError) Field() string {
	if e.word != "" {
		return e.word
	}
	name, _, _ := strings.Cut(e.Path[strings.LastIndexByte(e.Path, '.')+1:], "[")
	return name
}

// Safe is Error without what a person may have typed: what is not spelled out by the template.
func (e *InvalidError) Safe(spelled func(string) bool) string {
	if e.word == "" || spelled(e.word) {
		return e.Error()
	}
	// The word is the path's end. A known field before it, or in the problem, may be alike.
	return (&InvalidError{Path: strings.TrimSuffix(e.Path, quoteKey(e.word)) + "…", Problem: e.Problem}).Error()
}

// quoting says that an error's text shows a key of the change.
func quoting(word string, err error) error {
	var e *InvalidError
	if errors.As(err, &e) {
		e.word = word
	}
	return err
}

func invalid(path, format string, args ...any) error {
	return &InvalidError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

func wrongType(path, want string, got any) error {
	return invalid(path, "must be %s, is %s", want, jsonType(got))
}

// unknown says that there is no such field, and which one is near.
func unknown(path, name string, known []string) error {
	best, distance := "", 1+max(1, len(name)/3)
	for _, field := range known {
		if len(name) >= 4 && strings.HasPrefix(field, name) {
			best = field
			break
		}
		if d := edits(strings.ToLower(name), field); d < distance {
			best, distance = field, d
		}
	}
	problem := "unknown field"
	if best != "" {
		problem += fmt.Sprintf(", did you mean %q?", best)
	}
	return quoting(name, invalid(path+quoteKey(name), "%s", problem))
}

// edits counts the insertions, deletions and substitutions that make b of a.
func edits(a, b string) int {
	const longest = 64
	if len(a) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func jsonType(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}

// quoteKey shows a key that isn't one of the known names.
func quoteKey(key string) string {
	const longest = 64
	if utf8.RuneCountInString(key) > longest {
		key = string([]rune(key)[:longest]) + "…"
	}
	plain := func(r rune) bool {
		return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	if key == "" || !slices.ContainsFunc([]rune(key), func(r rune) bool { return !plain(r) }) {
		return key
	}
	return strconv.Quote(key)
}

// readString reads a string. Null is one that is left out.
func readString(object map[string]any, path, name string, to *string) error {
	value := object[name]
	if value == nil {
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return wrongType(path+name, "a string", value)
	}
	*to = text
	return nil
}

// readObject reads an object, without what is null in it.
func readObject(object map[string]any, name string, to *map[string]any) error {
	value := object[name]
	if value == nil {
		return nil
	}
	read, ok := value.(map[string]any)
	if !ok {
		return wrongType(name, "an object", value)
	}
	*to = make(map[string]any, len(read))
	for key, child := range read {
		if child != nil {
			(*to)[key] = child
		}
	}
	return nil
}
