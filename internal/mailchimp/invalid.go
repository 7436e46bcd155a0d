package mailchimp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// InvalidError says what is wrong with a message or a change that a template returned. It repeats no values except
// the domain of a sender, but may name keys that a template took from what a person typed: see Safe.
type InvalidError struct {
	// Path is the field, such as message.to[0].email.
	Path string
	// Problem is what is wrong with it.
	Problem string

	// word is the text that the error quotes, and quoted is how it is written there: at the end of Path, or anywhere
	// in Problem. Both are empty if the error quotes nothing.
	word, quoted string
}

func (e *InvalidError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Field returns the last name of Path, as it is written in the object that has it.
func (e *InvalidError) Field() string {
	if e.word != "" && strings.HasSuffix(e.Path, e.quoted) {
		return e.word
	}
	name, _, _ := strings.Cut(e.Path[strings.LastIndexByte(e.Path, '.')+1:], "[")
	return name
}

// Safe returns the error's text without what a person may have typed: a quoted text for which isLiteral, which
// reports whether the template spells it out, is false.
func (e *InvalidError) Safe(isLiteral func(string) bool) string {
	if e.word == "" || isLiteral(e.word) {
		return e.Error()
	}
	if path, found := strings.CutSuffix(e.Path, e.quoted); found {
		// Known fields earlier in the path or in the problem may look the same: they stay.
		return (&InvalidError{Path: path + "…", Problem: e.Problem}).Error()
	}
	return strings.ReplaceAll(e.Error(), e.quoted, "…")
}

// Invalid returns an *InvalidError. Path is empty if no field is at fault.
func Invalid(path, format string, args ...any) error {
	return &InvalidError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// WrongType returns an *InvalidError for a value of another JSON type than the wanted one, such as "a string".
func WrongType(path, want string, got any) error {
	return Invalid(path, "must be %s, is %s", want, typeName(got))
}

// UnknownField returns an *InvalidError for a key that is not one of the known ones, which are in alphabetical order.
// The path is that of the object.
func UnknownField(path, key string, known []string) error {
	problem := "unknown field"
	if near := nearest(key, known); near != "" {
		problem += fmt.Sprintf(", did you mean %q?", near)
	}
	return QuotingKey(key, Invalid(Join(path, QuoteKey(key)), "%s", problem))
}

// Quoting marks an *InvalidError as one whose text quotes a word that a person may have typed. Quoted is how the text
// has it.
func Quoting(word, quoted string, err error) error {
	var e *InvalidError
	if errors.As(err, &e) {
		e.word, e.quoted = word, quoted
	}
	return err
}

// QuotingKey is Quoting for a key that stands in the text as QuoteKey returns it.
func QuotingKey(key string, err error) error { return Quoting(key, QuoteKey(key), err) }

// Join returns the path of a field of the object at path.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// QuoteKey returns a key as error texts have it: shortened if it is long, and in quotes if it isn't a plain name.
func QuoteKey(key string) string {
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

// ExpiresIn reads the field delivery.expires_in: 0 if it is empty. Errors are *InvalidError, and show the example.
func ExpiresIn(text, example string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	expiresIn, err := time.ParseDuration(text)
	if err != nil || expiresIn <= 0 {
		return 0, Invalid("delivery.expires_in", "must be a duration of more than 0, such as %q", example)
	}
	return expiresIn, nil
}
