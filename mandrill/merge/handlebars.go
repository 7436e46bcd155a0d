package merge

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
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
