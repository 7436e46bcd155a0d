package sandbox

import (
	"fmt"
	"maps"
	"strings"
	"unicode"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// A query reports whether a search finds what a mail became for one recipient.
type query func(*Mail, mandrill.Recipient) bool

// parser reads a query as Lucene has it: terms joined by AND, which may be left out, or by OR, which binds less; a term
// is a word, a "phrase", field:value, or another query in brackets, which may follow a field as well.
type parser struct {
	rest string
	// searchable reports whether a metadata field can be searched.
	searchable func(field string) bool
}

func parseQuery(text string, searchable func(string) bool) query {
	p := &parser{text, searchable}
	return p.any("")
}

func (p *parser) any(field string) query {
	found := p.all(field)
	for p.keyword("OR") {
		left, right := found, p.all(field)
		found = func(m *Mail, r mandrill.Recipient) bool { return left(m, r) || right(m, r) }
	}
	return found
}

func (p *parser) all(field string) query {
	var found query = func(*Mail, mandrill.Recipient) bool { return true }
	for {
		p.keyword("AND")
		p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
		if p.rest == "" || p.rest[0] == ')' || p.startsWith("OR") {
			return found
		}
		left, right := found, p.term(field)
		found = func(m *Mail, r mandrill.Recipient) bool { return left(m, r) && right(m, r) }
	}
}

func (p *parser) startsWith(word string) bool {
	after, is := strings.CutPrefix(p.rest, word)
	return is && (after == "" || strings.ContainsAny(after[:1], " \t\n("))
}

// keyword takes a word of the language.
func (p *parser) keyword(word string) bool {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	if !p.startsWith(word) {
		return false
	}
	p.rest = p.rest[len(word):]
	return true
}

func (p *parser) term(field string) query {
	switch p.rest[0] {
	case '(':
		p.rest = p.rest[1:]
		inner := p.any(field)
		p.rest = strings.TrimPrefix(p.rest, ")")
		return inner
	case '"':
		phrase, rest, _ := strings.Cut(p.rest[1:], `"`)
		p.rest = rest
		return p.matching(field, phrase)
	}
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' || r == ':' && field == ""
	})
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	if field != "" || !strings.HasPrefix(p.rest, ":") {
		if word == "" {
			p.rest = p.rest[1:] // a stray character
		}
		return p.matching(field, word)
	}
	p.rest = p.rest[1:]
	if p.rest == "" || unicode.IsSpace(rune(p.rest[0])) || p.rest[0] == ')' {
		return p.matching(word, "")
	}
	return p.term(word)
}

// matching is one term. A field that Mandrill doesn't know finds nothing.
func (p *parser) matching(field, value string) query {
	lower := strings.ToLower(value)
	holds := func(text string) bool { return strings.Contains(strings.ToLower(text), lower) }
	if name, is := strings.CutPrefix(field, "u_"); is {
		searchable := p.searchable(name)
		return func(m *Mail, r mandrill.Recipient) bool {
			given, has := metadataOf(m, r)[name]
			return has && searchable && fmt.Sprint(given) == value
		}
	}
	return func(m *Mail, r mandrill.Recipient) bool {
		switch field {
		case "":
			return value == "*" || holds(m.Message.Subject+" "+r.Email+" "+m.Message.FromEmail)
		case "email":
			return holds(r.Email)
		case "full_email":
			return strings.EqualFold(r.Email, value)
		case "sender":
			return holds(m.Message.FromEmail)
		case "subject":
			return holds(m.Message.Subject)
		case "tags":
			return hasAny(m.Message.Tags, []string{value})
		case "subaccount":
			return m.Message.Subaccount == value
		}
		return false
	}
}

// metadataOf returns the metadata of a mail, with what is the recipient's own.
func metadataOf(m *Mail, r mandrill.Recipient) map[string]any {
	metadata := make(map[string]any)
	maps.Copy(metadata, m.Message.Metadata)
	for _, own := range m.Message.RecipientMetadata {
		if strings.EqualFold(own.Rcpt, r.Email) {
			maps.Copy(metadata, own.Values)
		}
	}
	return metadata
}
