package merge

import (
	"html"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// scope is what paths are looked up in, the innermost one last.
type scope struct {
	value       any
	key         string
	index, last int
}

type evaluator struct {
	*filler
	inHTML bool
	filled strings.Builder
}

func (e *evaluator) run(nodes []node, scopes []scope) error {
	for _, n := range nodes {
		if n.block {
			if err := e.step(0); err != nil {
				return err
			}
			if err := e.runBlock(n, scopes); err != nil {
				return err
			}
			continue
		}
		value := n.text
		if len(n.words) > 0 {
			value = text(e.value(n.words, scopes))
			if e.inHTML && !n.raw {
				value = html.EscapeString(value)
			}
		}
		if err := e.step(len(value)); err != nil {
			return err
		}
		e.filled.WriteString(value)
	}
	return nil
}

func (e *evaluator) runBlock(n node, scopes []scope) error {
	value := e.look(n.words[1], scopes)
	switch name := n.words[0]; name {
	case "if", "unless":
		if given(value) == (name == "if") {
			return e.run(n.body, scopes)
		}
		return e.run(n.other, scopes)
	case "with":
		if !given(value) {
			return e.run(n.other, scopes)
		}
		return e.run(n.body, append(slices.Clip(scopes), scope{value: value}))
	}
	var each []scope
	switch value := value.(type) {
	case []any:
		for i, element := range value {
			each = append(each, scope{value: element, key: strconv.Itoa(i), index: i, last: len(value) - 1})
		}
	case map[string]any:
		for i, key := range slices.Sorted(maps.Keys(value)) {
			each = append(each, scope{value: value[key], key: key, index: i, last: len(value) - 1})
		}
	}
	if len(each) == 0 {
		return e.run(n.other, scopes)
	}
	for _, s := range each {
		if err := e.run(n.body, append(slices.Clip(scopes), s)); err != nil {
			return err
		}
	}
	return nil
}

var tagsOfHTML = regexp.MustCompile(`<[^>]*>`)

// value is that of a path, or of a helper.
func (e *evaluator) value(words []string, scopes []scope) any {
	if len(words) == 1 {
		return e.look(words[0], scopes)
	}
	argument := text(e.look(words[1], scopes))
	switch words[0] {
	case "date":
		return date(argument)
	case "striptags":
		return tagsOfHTML.ReplaceAllString(argument, "")
	}
	changed, known := change(words[0], argument)
	if !known {
		e.problem("{{%s}}: the helper %s is not known", strings.Join(words, " "), words[0])
	}
	return changed
}

// look finds what a word stands for: a literal, a comparison in backticks, or a path.
func (e *evaluator) look(word string, scopes []scope) any {
	switch {
	case strings.HasPrefix(word, "`"):
		return e.comparison(strings.Trim(word, "`"), scopes)
	case strings.HasPrefix(word, `"`), strings.HasPrefix(word, "'"):
		return word[1 : len(word)-1]
	case word == "true" || word == "false":
		return word == "true"
	}
	if number, err := strconv.ParseFloat(word, 64); err == nil {
		return number
	}
	innermost := scopes[len(scopes)-1]
	switch word {
	case "@index":
		return float64(innermost.index)
	case "@key":
		return innermost.key
	case "@first":
		return innermost.index == 0
	case "@last":
		return innermost.index == innermost.last
	}
	for len(scopes) > 1 && strings.HasPrefix(word, "../") {
		word, scopes = word[len("../"):], scopes[:len(scopes)-1]
	}
	value := scopes[len(scopes)-1].value
	names := strings.Split(word, ".")
	if word == "this" || word == "." {
		return value
	}
	if names[0] == "this" {
		names = names[1:]
	}
	if found, ok := member(value, names[0]); ok || len(scopes) == 1 {
		value = found
	} else {
		value, _ = member(scopes[0].value, names[0])
	}
	for _, name := range names[1:] {
		value, _ = member(value, name)
	}
	if value == nil && len(scopes) == 1 {
		e.problem("{{%s}} has no value and is left out", word)
	}
	return value
}

func member(value any, name string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		if found, ok := value[name]; ok {
			return found, true
		}
		for key, found := range value {
			if strings.EqualFold(key, name) {
				return found, true
			}
		}
	case []any:
		if name == "length" {
			return float64(len(value)), true
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(value) {
			return value[i], true
		}
	}
	return nil, false
}

var comparison = regexp.MustCompile(`^\s*(\S+|"[^"]*"|'[^']*')\s*(==|!=|<=|>=|<|>)\s*("[^"]*"|'[^']*'|\S+)\s*$`)

func (e *evaluator) comparison(s string, scopes []scope) bool {
	for _, alternative := range strings.Split(s, "||") {
		all := true
		for _, condition := range strings.Split(alternative, "&&") {
			holds := false
			if parts := comparison.FindStringSubmatch(condition); parts != nil {
				holds = compare(e.look(parts[1], scopes), parts[2], e.look(parts[3], scopes))
			} else if word := strings.TrimSpace(condition); word != "" {
				holds = given(e.look(word, scopes))
			}
			all = all && holds
		}
		if all {
			return true
		}
	}
	return false
}
