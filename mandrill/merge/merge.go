// Package merge fills the merge tags of a message for one recipient, in both of Mandrill's languages, as
// far as its documentation describes them. It is for looking at a mail: what is sent has its tags filled
// by Mandrill itself.
//
// Of the language mailchimp it knows *|NAME|*, *|IF:NAME|* with comparisons, IFNOT, ELSEIF, ELSE and
// END:IF, the prefixes HTML, UPPER, LOWER, TITLE and URL, *|DATE:format|*, *|CURRENT_YEAR|* and
// *|UNSUB:url|*. Of handlebars it knows {{path}} and {{{path}}}, #if, #unless, #each and #with with their
// else, comparisons in backticks, and the helpers upper, lower, title, url, date and striptags. It knows
// neither templates that are kept at Mandrill nor their mc:edit regions.
package merge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const (
	// maxSteps and maxFilled, in bytes, bound what a mail may cost: nested #each multiply, and a long value may be
	// named often.
	maxSteps  = 100_000
	maxFilled = 8 << 20
	// maxSubject is that of a list, in bytes.
	maxSubject = 1 << 10
)

// Mail is a message as one recipient gets it.
type Mail struct {
	Subject  string            `json:"subject"`
	FromName string            `json:"from_name"`
	HTML     string            `json:"html"`
	Text     string            `json:"text"`
	Headers  map[string]string `json:"headers"`
	// Merged reports whether merging was on.
	Merged bool `json:"merged"`
	// Vars are the recipient's variables, its own before the global ones.
	Vars []Var `json:"vars"`
	// Problems say which tags have no value, and what is wrong with the others.
	Problems []string `json:"problems"`
}

// Var is a merge variable.
type Var struct {
	Name    string `json:"name"`
	Content any    `json:"content"`
	// Global variables are those of all recipients.
	Global bool `json:"global"`
}

// Enabled reports whether Mandrill evaluates merge tags in a message: merge is on, or it has variables.
func Enabled(m *mandrill.Message) bool {
	return m.Merge || len(m.GlobalMergeVars) > 0 || len(m.MergeVars) > 0
}

// Fill fills a message for a recipient.
func Fill(m *mandrill.Message, recipient string) Mail {
	mail := Mail{
		Subject: m.Subject, FromName: m.FromName, HTML: m.HTML, Text: m.Text, Headers: make(map[string]string),
		Problems: []string{},
	}
	for name, value := range m.Headers {
		mail.Headers[name] = text(value)
	}
	mail.Vars = vars(m, recipient)
	if mail.Merged = Enabled(m); !mail.Merged {
		return mail
	}
	f := newFiller(mail.Vars, maxFilled)
	fill := f.in(m.MergeLanguage)
	mail.Subject, mail.FromName = fill(m.Subject, false), fill(m.FromName, false)
	mail.HTML, mail.Text = fill(m.HTML, true), fill(m.Text, false)
	for name, value := range mail.Headers {
		mail.Headers[name] = fill(value, false)
	}
	mail.Problems = append(mail.Problems, f.problems...)
	return mail
}

// Subject is the subject for a recipient, for a list of mails: one that is too long for a list stays as it is, and
// is cut.
func Subject(m *mandrill.Message, recipient string) string {
	subject := m.Subject
	if len(subject) > maxSubject {
		subject = strings.ToValidUTF8(subject[:maxSubject], "") + "…"
	}
	if !Enabled(m) {
		return subject
	}
	return newFiller(vars(m, recipient), 2*maxSubject).in(m.MergeLanguage)(subject, false)
}

func newFiller(vars []Var, room int) *filler {
	f := &filler{vars: make(map[string]any, len(vars)), steps: maxSteps, room: room}
	for _, v := range vars {
		if _, own := f.vars[strings.ToLower(v.Name)]; !own {
			f.vars[strings.ToLower(v.Name)] = v.Content
		}
	}
	return f
}

// in returns what fills a part of the mail in a language.
func (f *filler) in(language string) func(part string, inHTML bool) string {
	if language == "handlebars" {
		return f.handlebars
	}
	return f.mailchimp
}

func vars(m *mandrill.Message, recipient string) []Var {
	found := []Var{}
	for _, r := range m.MergeVars {
		if strings.EqualFold(r.Rcpt, recipient) {
			for _, v := range r.Vars {
				found = append(found, Var{Name: v.Name, Content: v.Content})
			}
		}
	}
	for _, v := range m.GlobalMergeVars {
		found = append(found, Var{Name: v.Name, Content: v.Content, Global: true})
	}
	return found
}

// filler fills the parts of one mail.
type filler struct {
	// vars have names in lower case: case doesn't count.
	vars     map[string]any
	problems []string
	// steps and room are what is left for the mail.
	steps, room int
}

// errTooMuch says that nothing is left.
var errTooMuch = errors.New("filling it takes too long")

// step takes a tag's or a text's share of what is left.
func (f *filler) step(size int) error {
	f.steps--
	f.room -= size
	if f.steps < 0 || f.room < 0 {
		return errTooMuch
	}
	return nil
}

func (f *filler) problem(format string, args ...any) {
	if said := fmt.Sprintf(format, args...); !slices.Contains(f.problems, said) && len(f.problems) < 20 {
		f.problems = append(f.problems, said)
	}
}
