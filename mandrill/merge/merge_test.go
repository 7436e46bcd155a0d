package merge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/merge"
)

// message has variables of every kind: one that all have, one that ada has, one that ada has of her own.
func message(language, content string) *mandrill.Message {
	return &mandrill.Message{
		HTML: content, Text: content, Subject: content, MergeLanguage: language,
		GlobalMergeVars: []mandrill.MergeVar{
			{Name: "brand", Content: "Example & Co"},
			{Name: "name", Content: "friend"},
			{Name: "count", Content: 3.0},
			{Name: "none", Content: ""},
			{
				Name: "items", Content: []any{
					map[string]any{"title": "tea", "price": 4.0}, map[string]any{"title": "milk", "price": 1.0},
				},
			},
			{Name: "address", Content: map[string]any{"city": "Bern"}},
			{Name: "off", Content: false},
		},
		MergeVars: []mandrill.RecipientVars{
			{Rcpt: "Ada@example.net", Vars: []mandrill.MergeVar{{Name: "NAME", Content: "Ada <3"}}},
		},
	}
}

func TestMailchimp(t *testing.T) {
	year := time.Now().UTC().Format("2006")
	for content, want := range map[string]string{
		`Hello *|NAME|*, *|brand|*`:                              `Hello Ada <3, Example & Co`,
		`*|UPPER:BRAND|* *|LOWER:BRAND|* *|TITLE:BRAND|*`:        `EXAMPLE & CO example & co Example & Co`,
		`*|HTML:NAME|* *|URL:NAME|*`:                             `Ada <3 Ada+%3C3`,
		`*|MISSING|* *|A:B|*`:                                    `*|MISSING|* *|A:B|*`,
		`*|IF:NAME|*yes*|ELSE:|*no*|END:IF|*.`:                   `yes.`,
		`*|IF:NONE|*yes*|ELSE:|*no*|END:IF|*`:                    `no`,
		`*|IF:MISSING|*yes*|END:IF|*.`:                           `.`,
		`*|IFNOT:NONE|*empty*|ELSE:|*full*|END:IF|*`:             `empty`,
		`*|IF:COUNT=2|*2*|ELSEIF:COUNT=3|*3*|ELSE:|*?*|END:IF|*`: `3`,
		`*|IF:COUNT>=10|*many*|ELSE:|*few*|END:IF|*`:             `few`,
		`*|IF:BRAND!=x|*other*|END:IF|*`:                         `other`,
		`*|IF:MISSING=x|*a*|ELSEIF:MISSING!=x|*b*|END:IF|*`:      `b`,
		`*|IF:NAME|**|IF:NONE|*a*|ELSE:|*b*|END:IF|*c*|END:IF|*`: `bc`,
		`*|IF:NONE|**|IF:NAME|*a*|ELSE:|*b*|END:IF|*c*|END:IF|*`: ``,
		`© *|CURRENT_YEAR|* *|DATE:Y|*`:                          `© ` + year + ` ` + year,
		`*|UNSUB:https://example.com/bye|*`:                      `https://example.com/bye`,
		`{{name}} *| NAME |* **|NAME|**`:                         `{{name}} Ada <3 *Ada <3*`,
	} {
		if got := merge.Fill(message("mailchimp", content), "ada@example.net").HTML; got != want {
			t.Errorf("%s gives %q, want %q", content, got, want)
		}
	}
}

func TestHandlebars(t *testing.T) {
	for content, want := range map[string]string{
		`{{name}}, {{{name}}}, {{& name}}`:                                                     `Ada &lt;3, Ada <3, Ada <3`,
		`{{ BRAND }}{{missing}}`:                                                               `Example &amp; Co`,
		`{{address.city}} {{upper address.city}} {{title "a bc"}}`:                             `Bern BERN A Bc`,
		`{{#if name}}yes{{else}}no{{/if}}`:                                                     `yes`,
		`{{#if off}}yes{{else}}no{{/if}}{{#unless none}}!{{/unless}}`:                          `no!`,
		`{{#each items}}{{@index}}:{{title}} {{price}}{{#unless @last}}, {{/unless}}{{/each}}`: `0:tea 4, 1:milk 1`,
		`{{#each items}}{{this.title}}{{../count}}{{brand}};{{/each}}`: `tea3Example &amp; Co;` +
			`milk3Example &amp; Co;`,
		`{{#each address}}{{@key}}={{this}}{{/each}}`:                       `city=Bern`,
		`{{#each none}}x{{else}}nothing{{/each}}`:                           `nothing`,
		`{{#with address}}{{city}}{{/with}}`:                                `Bern`,
		"{{#if `count > 2 && brand == \"Example & Co\"`}}a{{else}}b{{/if}}": `a`,
		"{{#if `items.length >= 3`}}a{{else}}b{{/if}}":                      `b`,
		`\{{name}} \\{{count}} {{! no }}{{!-- {{name}} --}}.`:               `{{name}} \3 .`,
		`{{striptags "<b>x</b>"}} {{url "a b"}}`:                            `x a+b`,
		`*|NAME|*`:                                                          `*|NAME|*`,
		`{{#if name}}open`:                                                  `{{#if name}}open`,
		`{{/if}}`:                                                           `{{/if}}`,
		`{{else}}`:                                                          `{{else}}`,
		`{{#every x}}{{/every}}`:                                            `{{#every x}}{{/every}}`,
	} {
		if got := merge.Fill(message("handlebars", content), "ada@example.net").HTML; got != want {
			t.Errorf("%s gives %q, want %q", content, got, want)
		}
	}
	if got := merge.Fill(message("handlebars", "{{name}}"), "ada@example.net"); got.Text != "Ada <3" ||
		got.Subject != "Ada <3" {
		t.Errorf("outside of HTML: %q, %q", got.Text, got.Subject)
	}
}

func TestFill(t *testing.T) {
	m := message("", "*|NAME|*")
	m.Headers = map[string]any{"X-Name": "*|NAME|*", "X-Number": 7.0}
	if got := merge.Fill(m, "grace@example.net"); got.HTML != "friend" || got.Headers["X-Name"] != "friend" ||
		got.Headers["X-Number"] != "7" || !got.Merged {
		t.Errorf("somebody without variables of her own gets %+v", got)
	}
	if got := merge.Fill(m, "ada@example.net").Vars[0]; got.Name != "NAME" || got.Global {
		t.Errorf("ada's first variable is %+v", got)
	}
	off := &mandrill.Message{HTML: "*|NAME|*"}
	if got := merge.Fill(off, "ada@example.net"); got.HTML != "*|NAME|*" || got.Merged || len(got.Problems) != 0 {
		t.Errorf("without merging: %+v", got)
	}
	off.Merge = true
	if got := merge.Fill(off, "ada@example.net"); len(got.Problems) != 1 ||
		!strings.Contains(got.Problems[0], "*|NAME|* has no value") {
		t.Errorf("without a value: %q", got.Problems)
	}
}

// TestBounds: a mail of some MB would be filled with GB.
func TestBounds(t *testing.T) {
	for language, tag := range map[string]string{"mailchimp": "*|LONG|*", "handlebars": "{{long}}"} {
		m := message(language, strings.Repeat(tag, 2000))
		m.GlobalMergeVars = append(m.GlobalMergeVars, mandrill.MergeVar{Name: "long", Content: strings.Repeat("x", 100<<10)})
		m.Headers = make(map[string]any)
		for i := range 200 {
			m.Headers[fmt.Sprint("X-", i)] = tag
		}
		got := merge.Fill(m, "ada@example.net")
		size := len(got.HTML) + len(got.Text) + len(got.Subject)
		for _, value := range got.Headers {
			size += len(value)
		}
		if size > 9<<20 || !strings.HasPrefix(got.HTML, tag) || len(got.Problems) != 1 {
			t.Errorf("%s: %d bytes, %q", language, size, got.Problems)
		}
		if subject := merge.Subject(m, "ada@example.net"); len(subject) > 2<<10 {
			t.Errorf("%s: a subject has %d bytes", language, len(subject))
		}
		m.Subject = tag
		if subject := merge.Subject(m, "ada@example.net"); subject != tag {
			t.Errorf("%s: a subject has %d bytes", language, len(subject))
		}
		m.HTML = strings.Repeat(strings.Replace(tag, "LONG", "NONE", 1), 150_000)
		if got := merge.Fill(m, "ada@example.net"); got.HTML != m.HTML {
			t.Errorf("%s: %d bytes after many tags", language, len(got.HTML))
		}
		named := strings.ToLower(strings.Replace(tag, "LONG", "NAME", 1))
		if subject := merge.Subject(message(language, named), ""); language == "mailchimp" && subject != "friend" {
			t.Errorf("%s: the subject is %q", language, subject)
		}
	}
	if subject := merge.Subject(&mandrill.Message{Subject: strings.Repeat("ö", 5000)}, ""); len(subject) > 1100 {
		t.Errorf("without merging a subject has %d bytes", len(subject))
	}
}

func FuzzFill(f *testing.F) {
	for _, seed := range []string{
		`*|IF:A=1|**|A|**|END:IF|*`, `{{#each items}}{{#each this}}{{.}}{{/each}}{{/each}}`, "{{#if `a == b`}}{{/if}}",
		`{{{a}}}\{{b}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		for _, language := range []string{"mailchimp", "handlebars"} {
			merge.Fill(message(language, content), "ada@example.net")
		}
	})
}
