package mandrill

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// InvalidError says what is wrong with a message. It has no values, but for the sender's domain, and may name
// keys that a template took from what a person typed.
type InvalidError struct {
	// Path is the field, such as message.to[0].email.
	Path string
	// Problem is what is wrong with it.
	Problem string

	// word is what of the message is in the text, and shown is how it stands there.
	word, shown string
}

func (e *InvalidError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Field is the last name of Path, as in the object that has it.
func (e *InvalidError) Field() string {
	name := e.Path[strings.LastIndexByte(e.Path, '.')+1:]
	if e.word != "" && strings.HasSuffix(e.Path, e.shown) {
		name = e.word
	}
	name, _, _ = strings.Cut(name, "[")
	return name
}

// Safe is Error without what a person may have typed: what is not spelled out by the template.
func (e *InvalidError) Safe(spelled func(string) bool) string {
	if e.word == "" || spelled(e.word) {
		return e.Error()
	}
	if path, found := strings.CutSuffix(e.Path, e.shown); found {
		// A known field before it, or in the problem, may be alike.
		return (&InvalidError{Path: path + "…", Problem: e.Problem}).Error()
	}
	return strings.ReplaceAll(e.Error(), e.shown, "…")
}

// quoting says that an error's text shows a word of the message.
func quoting(word, shown string, err error) error {
	var e *InvalidError
	if errors.As(err, &e) {
		e.word, e.shown = word, shown
	}
	return err
}

func invalid(path, format string, args ...any) error {
	return &InvalidError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// checkFields compares a decoded value with the type that documents it: unknown fields and values
// of another JSON type are errors. Null stands for any value that is left out.
func checkFields(path string, value any, documented reflect.Type) error {
	if value == nil || documented.Kind() == reflect.Interface {
		return nil
	}
	switch documented.Kind() {
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			return wrongType(path, "an object", value)
		}
		return checkStruct(path, object, documented)
	case reflect.Map:
		if _, ok := value.(map[string]any); !ok {
			return wrongType(path, "an object", value)
		}
	case reflect.Slice:
		array, ok := value.([]any)
		if !ok {
			return wrongType(path, "an array", value)
		}
		for i, element := range array {
			place := path + "[" + strconv.Itoa(i) + "]"
			if element == nil {
				return wrongType(place, article(documented.Elem()), nil)
			}
			if err := checkFields(place, element, documented.Elem()); err != nil {
				return err
			}
		}
	case reflect.String:
		if _, ok := value.(string); !ok {
			return wrongType(path, "a string", value)
		}
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			return wrongType(path, "a boolean", value)
		}
	default:
		panic("a documented field has the type " + documented.String())
	}
	return nil
}

func checkStruct(path string, object map[string]any, documented reflect.Type) error {
	fields := fieldsOf(documented)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field, ok := fields[name]
		if !ok {
			return quoting(name, quoteKey(name), invalid(join(path, quoteKey(name)), "unknown field%s", suggestion(name, fields)))
		}
		if err := checkFields(join(path, name), object[name], field); err != nil {
			return err
		}
	}
	return nil
}

// known are the results of fieldsOf, which reflection takes long to find.
var known sync.Map

// fieldsOf returns the documented fields by their names in JSON.
func fieldsOf(documented reflect.Type) map[string]reflect.Type {
	if fields, ok := known.Load(documented); ok {
		return fields.(map[string]reflect.Type)
	}
	fields := make(map[string]reflect.Type)
	for _, field := range reflect.VisibleFields(documented) {
		if name := field.Tag.Get("json"); name != "" {
			fields[name] = field.Type
		}
	}
	known.Store(documented, fields)
	return fields
}

func wrongType(path, want string, got any) error {
	return invalid(path, "must be %s, is %s", want, jsonType(got))
}

func article(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.Bool:
		return "a boolean"
	default:
		return "a string"
	}
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

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// quoteKey shows a key that isn't one of the documented names.
func quoteKey(key string) string {
	const longest = 64
	if utf8.RuneCountInString(key) > longest {
		key = string([]rune(key)[:longest]) + "…"
	}
	for _, r := range key {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return strconv.Quote(key)
		}
	}
	return key
}

// suggestion names the documented field that is nearest to what was written, if one is near.
func suggestion(name string, fields map[string]reflect.Type) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if len(name) >= 4 && strings.HasPrefix(field, name) {
			best = field
			break
		}
		if d := editDistance(strings.ToLower(name), field, distance); d < distance {
			best, distance = field, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours that make b
// of a. It returns limit where the lengths show that it is reached.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			substitution := row[j]
			if a[i] != b[j] {
				substitution++
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, substitution)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
