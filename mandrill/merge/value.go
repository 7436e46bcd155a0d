package merge

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// text is a value as it stands in a mail.
func text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		parts := make([]string, len(value))
		for i, element := range value {
			parts[i] = text(element)
		}
		return strings.Join(parts, ",")
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(encoded)
}

// change applies what both languages have for a text; ok is false for names that aren't theirs.
func change(name, s string) (changed string, ok bool) {
	switch name {
	case "upper":
		return strings.ToUpper(s), true
	case "lower":
		return strings.ToLower(s), true
	case "title":
		return title(s), true
	case "url":
		return url.QueryEscape(s), true
	}
	return s, false
}

func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		defer func() { start = unicode.IsSpace(r) }()
		if start {
			return unicode.ToTitle(r)
		}
		return r
	}, strings.ToLower(s))
}

// date formats the present in the letters of PHP.
func date(format string) string {
	layouts := map[rune]string{
		'd': "02", 'D': "Mon", 'j': "2", 'l': "Monday", 'F': "January", 'm': "01", 'M': "Jan", 'n': "1", 'Y': "2006",
		'y': "06", 'a': "pm", 'A': "PM", 'g': "3", 'h': "03", 'H': "15", 'i': "04", 's': "05",
	}
	now := time.Now().UTC()
	var formatted strings.Builder
	for _, letter := range format {
		if layout, known := layouts[letter]; known {
			formatted.WriteString(now.Format(layout))
		} else {
			formatted.WriteRune(letter)
		}
	}
	return formatted.String()
}

// compare compares two values: as numbers where both are, else as texts.
func compare(left any, operator string, right any) bool {
	var order int
	var a, b float64
	if _, err := fmt.Sscan(text(left), &a); err == nil {
		_, err = fmt.Sscan(text(right), &b)
		if err != nil {
			order = strings.Compare(text(left), text(right))
		} else if a < b {
			order = -1
		} else if a > b {
			order = 1
		}
	} else {
		order = strings.Compare(text(left), text(right))
	}
	switch operator {
	case "=", "==":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	}
	return order >= 0
}

// given reports whether a value counts as one.
func given(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case string:
		return value != ""
	case float64:
		return value != 0
	case []any:
		return len(value) > 0
	}
	return true
}
