package merge

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxNested is how deep blocks may stand in blocks.
const maxNested = 50

// node is text, a value, or a block.
type node struct {
	text string
	// words are a value's path, or a helper and what it takes.
	words []string
	raw   bool
	block bool
	body  []node
	other []node
}

var (
	handlebarsTag  = regexp.MustCompile(`(?s)(\\*)(\{\{!--.*?--\}\}|\{\{\{(?:[^{}]*)\}\}\}|\{\{(?:[^{}]*)\}\})`)
	handlebarsWord = regexp.MustCompile("`[^`]*`" + `|"[^"]*"|'[^']*'|[^\s"'` + "`" + `]+`)
)

// handlebars fills {{…}}. In HTML, values are escaped but for those in three braces.
func (f *filler) handlebars(s string, inHTML bool) string {
	p := parser{source: s, tags: handlebarsTag.FindAllStringSubmatchIndex(s, -1)}
	nodes, _, err := p.parse("", 0)
	if err != nil {
		f.problem("%v: the part stays as it is", err)
		return s
	}
	e := evaluator{filler: f, inHTML: inHTML}
	root := make(map[string]any, len(f.vars))
	maps.Copy(root, f.vars)
	if err := e.run(nodes, []scope{{value: root}}); err != nil {
		f.problem("%v: the part stays as it is", err)
		return s
	}
	return e.filled.String()
}

type parser struct {
	source string
	tags   [][]int
	at     int
}

// parse reads nodes up to the end of a block or, at the top, of the source. It stops at an else.
func (p *parser) parse(block string, depth int) (nodes []node, ended string, err error) {
	if depth > maxNested {
		return nil, "", errors.New("blocks are nested too deeply")
	}
	for len(p.tags) > 0 {
		tag := p.tags[0]
		p.tags = p.tags[1:]
		nodes = append(nodes, node{text: p.source[p.at:tag[0]]})
		p.at = tag[1]
		backslashes, written := tag[3]-tag[2], p.source[tag[4]:tag[5]]
		nodes = append(nodes, node{text: strings.Repeat(`\`, backslashes/2)})
		if backslashes%2 == 1 {
			nodes = append(nodes, node{text: written})
			continue
		}
		raw := strings.HasPrefix(written, "{{{")
		inner := strings.TrimSpace(strings.Trim(written, "{}"))
		switch {
		case strings.HasPrefix(inner, "!"):
		case inner == "else" || inner == "^":
			if block == "" {
				return nil, "", errors.New("{{else}} stands outside of a block")
			}
			return nodes, "else", nil
		case strings.HasPrefix(inner, "/"):
			if name := strings.TrimSpace(inner[1:]); name != block {
				return nil, "", fmt.Errorf("{{/%s}} ends no block of its name", name)
			}
			return nodes, "end", nil
		case strings.HasPrefix(inner, "#"):
			n, err := p.parseBlock(handlebarsWord.FindAllString(inner[1:], -1), depth)
			if err != nil {
				return nil, "", err
			}
			nodes = append(nodes, n)
		default:
			raw = raw || strings.HasPrefix(inner, "&")
			words := handlebarsWord.FindAllString(strings.TrimPrefix(inner, "&"), -1)
			if len(words) == 0 {
				return nil, "", errors.New("{{}} is empty")
			}
			nodes = append(nodes, node{words: words, raw: raw})
		}
	}
	if block != "" {
		return nil, "", fmt.Errorf("{{#%s}} has no {{/%s}}", block, block)
	}
	return append(nodes, node{text: p.source[p.at:]}), "", nil
}

func (p *parser) parseBlock(words []string, depth int) (node, error) {
	if len(words) == 0 || !slices.Contains([]string{"if", "unless", "each", "with"}, words[0]) {
		return node{}, fmt.Errorf("{{#%s}} is not known", strings.Join(words, " "))
	}
	if len(words) != 2 {
		return node{}, fmt.Errorf("{{#%s}} takes one value", strings.Join(words, " "))
	}
	n := node{block: true, words: words}
	body, ended, err := p.parse(words[0], depth+1)
	if err != nil {
		return n, err
	}
	n.body = body
	if ended == "else" {
		n.other, ended, err = p.parse(words[0], depth+1)
		if err == nil && ended == "else" {
			err = fmt.Errorf("{{#%s}} has two {{else}}", words[0])
		}
	}
	return n, err
}

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
