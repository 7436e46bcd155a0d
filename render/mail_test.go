package render_test

import (
	"encoding/json"
	"errors"
	"html"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// mail evaluates an expression in which `mail` is the library.
func mail(t testing.TB, expression string, ctx any) (any, error) {
	t.Helper()
	got, err := load(t, "local mail = import 'mail.libsonnet'; function(ctx) { out: "+expression+" }").Render(t.Context(),
		ctx)
	if err != nil {
		return nil, err
	}
	return plainly(t, got).(map[string]any)["out"], nil
}

const gap = "\u200b"

func TestMailLibrary(t *testing.T) {
	for _, test := range []struct {
		name, expression, ctx string
		want                  any
	}{
		{
			"html", `mail.html(ctx.x)`, `{"x":"<b a='1'>\"&amp;\"</b>"}`,
			"&lt;b a=&#39;1&#39;&gt;&quot;&amp;amp;&quot;&lt;/b&gt;",
		},
		{
			"merge tags in HTML", `mail.html(ctx.x)`, `{"x":"*|FNAME|* {{{name}}}"}`,
			"*&#124;FNAME&#124;* &#123;&#123;&#123;name}}}",
		},
		{"html of a number", `mail.html(1.5)`, `{}`, "1.5"},
		{"html of null", `mail.html(null)`, `{}`, ""},
		{"text", `mail.text(ctx.x)`, `{"x":"<b>*|A|*</b>"}`, "<b>*" + gap + gap + "|A" + gap + "|*" + gap + "</b>"},
		{
			"address", `mail.address(ctx)`,
			`{"verifiable_addresses":[{"via":"sms","value":"+41"},{"via":"email","value":"a@x"}]}`, "a@x",
		},
		{
			"address of the traits", `mail.address(ctx)`,
			`{"traits":{"email":"B@x"},"verifiable_addresses":[{"via":"email","value":"a@x","verified":true},{"via":"email",` +
				`"value":"b@x"}]}`, "b@x",
		},
		{
			"verified address", `mail.address(ctx)`,
			`{"verifiable_addresses":[{"via":"email","value":"a@x"},{"via":"email","value":"b@x","verified":true}]}`, "b@x",
		},
		{"recovery address", `mail.address(ctx)`, `{"recovery_addresses":[{"via":"email","value":"a@x"}]}`, "a@x"},
		{"address that only the traits have", `mail.address(ctx)`, `{"traits":{"email":"a@x"}}`, "a@x"},
		{
			"no address", `mail.address(ctx)`,
			`{"traits":{"email":"none"},"verifiable_addresses":[{"via":"sms","value":"+41"},{"via":"email"},null]}`, nil,
		},
		{"no identity", `mail.address(std.get(ctx, 'identity'))`, `{}`, nil},
		{
			"recipient", `mail.recipient(ctx)`, `{"traits":{"email":"a@x","name":{"first":"{{A}}"}}}`, map[string]any{
				"email": "a@x", "type": "to", "name": strings.Repeat(gap+"{"+gap, 2) + "A}}",
			},
		},
		{
			"recipient without a name", `mail.recipient(ctx)`, `{"traits":{"email":"a@x"}}`, map[string]any{
				"email": "a@x", "type": "to",
			},
		},
		{
			"full name", `mail.fullName(ctx)`, `{"traits":{"name":{"first":" Ada ","last":"King\r\nBcc: x@y"}}}`,
			"Ada King Bcc: x@y",
		},
		{"first name only", `mail.fullName(ctx)`, `{"traits":{"name":{"first":"Ada"}}}`, "Ada"},
		{"last name only", `mail.fullName(ctx)`, `{"traits":{"name":{"last":"King","first":null}}}`, "King"},
		{"name in one", `mail.fullName(ctx)`, `{"traits":{"name":"Ada King"}}`, "Ada King"},
		{"name at the top", `mail.fullName(ctx)`, `{"traits":{"given_name":"Ada","family_name":"King"}}`, "Ada King"},
		{
			"link as a name", `mail.fullName(ctx)`, `{"traits":{"name":{"first":"Win at https://x.example","last":"King"}}}`, "",
		},
		{"host as a name", `mail.fullName(ctx)`, `{"traits":{"name":"Win at www.x.example"}}`, ""},
		{"host in capitals as a name", `mail.fullName(ctx)`, `{"traits":{"name":"WWW.EVIL.EXAMPLE/win"}}`, ""},
		{
			"host alone as a name", `mail.fullName(ctx)`, `{"traits":{"name":{"first":"Win at","last":"evil.example now"}}}`, "",
		},
		{"host that ends in a digit", `mail.fullName(ctx)`, `{"traits":{"name":"evil4.CO"}}`, ""},
		{"host in another alphabet", `mail.fullName(ctx)`, `{"traits":{"name":"зло.рф"}}`, ""},
		{"address as a name", `mail.fullName(ctx)`, `{"traits":{"name":"win@evil.example"}}`, ""},
		{"initials", `mail.fullName(ctx)`, `{"traits":{"name":{"first":"J. R. R.","last":"Tolkien"}}}`, "J. R. R. Tolkien"},
		{
			"initials in one", `mail.fullName(ctx)`, `{"traits":{"name":{"first":"J.R.R.","last":"Tolkien"}}}`, "J.R.R. Tolkien",
		},
		{"title", `mail.fullName(ctx)`, `{"traits":{"name":"Dr. Smith, Ph.D. ...and. "}}`, "Dr. Smith, Ph.D. ...and."},
		{
			"title before a space that doesn't break", `mail.fullName(ctx)`,
			`{"traits":{"name":"Dr.\u00a0Smith Dr.\u202fJones"}}`, "Dr.\u00a0Smith Dr.\u202fJones",
		},
		{
			"endless name", `mail.fullName(ctx)`, `{"traits":{"name":"` + strings.Repeat("é", 200) + `"}}`,
			strings.Repeat("é", 100),
		},
		{"host of a symbol", `mail.fullName(ctx)`, `{"traits":{"name":"win ♥.ws"}}`, ""},
		{"host behind a symbol", `mail.fullName(ctx)`, `{"traits":{"name":"i❤.ws"}}`, ""},
		{"host with a joiner", `mail.fullName(ctx)`, `{"traits":{"name":"evil.\u200dcom"}}`, ""},
		{"host with a letter that nobody sees", `mail.fullName(ctx)`, `{"traits":{"name":"evil.\u200bcom"}}`, ""},
		{"mailto", `mail.fullName(ctx)`, `{"traits":{"name":"MAILTO:me@evil"}}`, ""},
		{"telephone number", `mail.fullName(ctx)`, `{"traits":{"name":"call +1 900 555 1234 to win"}}`, ""},
		{"IP address", `mail.fullName(ctx)`, `{"traits":{"name":"win at 1.2.3.4"}}`, ""},
		{"number in a name", `mail.fullName(ctx)`, `{"traits":{"name":"Ada King 2nd 1815"}}`, "Ada King 2nd 1815"},
		{"direction of text", `mail.fullName(ctx)`, `{"traits":{"name":"Ada \u202eKing\u2028x"}}`, "Ada Kingx"},
		{"joiner in a name", `mail.fullName(ctx)`, `{"traits":{"name":"علی\u200cرضا"}}`, "علی\u200cرضا"},
		{"empty name", `mail.fullName(ctx)`, `{"traits":{"name":{}}}`, ""},
		{"no name", `mail.fullName(ctx)`, `{"traits":{"name":[1]}}`, ""},
		{"camel case", `mail.fullName(ctx)`, `{"traits":{"firstName":"Ada","lastName":"King"}}`, "Ada King"},
		{"display name", `mail.fullName(ctx)`, `{"traits":{"name":{},"display_name":"Ada King"}}`, "Ada King"},
		{
			"full name in one trait", `mail.fullName(ctx)`, `{"traits":{"full_name":"Ada King","display_name":"ada"}}`,
			"Ada King",
		},
		{"control characters", `mail.fullName(ctx)`, `{"traits":{"name":"A\u0001d\u007fa\u0085 K\u001bing"}}`, "Ada King"},
		{"host with a control character", `mail.fullName(ctx)`, `{"traits":{"name":"evil.\u0001com"}}`, ""},
		{
			"script link", `mail.link('x', 'https://x/?a="|b {{c}}').html`, `{}`,
			`<a class="link" href="https://x/?a=&quot;%7Cb%20%7B%7Bc}}" style="color:#1a5fb4">x</a>`,
		},
		{"line breaks", `mail.paragraph('a\r\n<b').html`, `{}`, "<p style=\"margin:0 0 16px\">a<br>&lt;b</p>\n"},
		{
			"inline", `mail.paragraph(['a ', mail.strong('<b>'), ['c']])`, `{}`, map[string]any{
				"html": "<p style=\"margin:0 0 16px\">a <strong>&lt;b&gt;</strong>c</p>\n", "text": "a <b>c",
			},
		},
		{
			"data is no element", `mail.paragraph(ctx.x).html`, `{"x":{"html":"<b>","text":"","element":"block"}}`,
			"<p style=\"margin:0 0 16px\">&#123;&quot;element&quot;: &quot;block&quot;, &quot;html&quot;: " +
				"&quot;&lt;b&gt;&quot;, &quot;text&quot;: &quot;&quot;}</p>\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mail(t, test.expression, decode(t, []byte(test.ctx)))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestMailLibraryErrors(t *testing.T) {
	if _, err := mail(t, `mail.recipient(ctx)`, map[string]any{}); !errors.Is(err, render.ErrCancelled) {
		t.Errorf("nobody to write to: %v", err)
	}
	var got *render.Error
	if _, err := mail(t, `mail.button('x', 'javascript:alert(1)')`, map[string]any{}); !errors.As(err, &got) ||
		!strings.Contains(got.Safe(), "a link must begin with") {
		t.Errorf("link that runs code: %v", err)
	}
}

// TestMailLanguageTags has tags cut from the right.
func TestMailLanguageTags(t *testing.T) {
	for _, test := range []struct{ languages, tag, want string }{
		{`['zh-Hans', 'zh-Hant']`, "zh-Hant-TW", "zh-Hant"},
		{`['zh-Hans', 'zh_hant']`, "ZH_Hant_TW", "zh_hant"},
		{`['zh-Hans', 'zh-Hant']`, "zh-TW", "zh-Hans"},
		{`['zh', 'zh-Hant', 'zh-Hant-TW']`, "zh-Hant-TW-x", "zh-Hant-TW"},
		{`['zh', 'zh-Hant', 'zh-Hant-TW']`, "zh-Hant-HK", "zh-Hant"},
		{`['en', 'zh-Ha', 'zh']`, "zh-Hant", "zh"},
		{`['en', 'de-AT', 'de']`, "de", "de"},
	} {
		t.Run(test.tag+" of "+test.languages, func(t *testing.T) {
			got, err := mail(t, `mail.language(ctx, `+test.languages+`)`, map[string]any{
				"request_headers": map[string]any{"Accept-Language": []any{test.tag}},
			})
			if err != nil || got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestMailLanguage(t *testing.T) {
	for _, test := range []struct{ name, ctx, want string }{
		{"nothing", `{}`, "en"},
		{"browser", `{"request_headers":{"Accept-Language":["de-CH,de;q=0.9,en;q=0.7"]}}`, "de"},
		{"weights", `{"request_headers":{"Accept-Language":["en;q=0.8, de;q=0.85, fr"]}}`, "de"},
		{"refused", `{"request_headers":{"Accept-Language":["de;q=0.0, pt"]}}`, "pt-BR"},
		{"region", `{"request_headers":{"Accept-Language":["pt_pt"]}}`, "pt-BR"},
		{"other alphabet's tag", `{"request_headers":{"Accept-Language":["zh-Hant-TW;q=1"]}}`, "en"},
		{"garbage", `{"request_headers":{"Accept-Language":[";;,q=,*;q=x,\u0000 de;q=zz"]}}`, "en"},
		{"no array", `{"request_headers":{"Accept-Language":"de"}}`, "de"},
		{"payload", `{"flow":{"transient_payload":{"lang":"DE"}},"identity":{"traits":{"lang":"pt-BR"}}}`, "de"},
		{
			"payload of another kind", `{"flow":{"transient_payload":{"lang":["de"]}},"identity":{"traits":{"locale":"pt-br"}}}`,
			"pt-BR",
		},
		{
			"header as payload", `{"flow":{"transient_payload":{"language":"fr;q=0.9,de,en-US;q=0.7,en;q=0.3"}}}`, "de",
		},
		{"one tag with a weight", `{"flow":{"transient_payload":{"language":"de;q=0.9"}}}`, "de"},
		{"header as payload of the courier", `{"template_data":{"transient_payload":{"lang":"fr,de;q=0.8"}}}`, "de"},
		{"header as a trait", `{"identity":{"traits":{"locale":"en;q=0.1,pt-PT"}}}`, "pt-BR"},
		{"header as metadata", `{"identity":{"metadata_public":{"lang":" en;q=0 , de "}}}`, "de"},
		{
			"payload that names none of them",
			`{"flow":{"transient_payload":{"lang":"fr,it;q=0.5"}},"request_headers":{"Accept-Language":["de"]}}`, "de",
		},
		{"headers of the courier", `{"template_data":{},"request_headers":{"Accept-Language":["de-CH"]}}`, "de"},
		{"unknown payload", `{"flow":{"transient_payload":{"lang":"xx"}},"identity":{"traits":{"language":"de"}}}`, "de"},
		{"metadata", `{"identity":{"metadata_public":{"lang":"de"}},"request_headers":{"Accept-Language":["pt"]}}`, "de"},
		{"courier", `{"template_data":{"transient_payload":{"lang":"de"}}}`, "de"},
		{
			"courier with an identity", `{"template_data":{"identity":{"traits":{"lang":"de"}},"transient_payload":null}}`, "de",
		},
		{"courier of a registration", `{"template_data":{"traits":{"lang":"de"}}}`, "de"},
		{"settings", `{"flow":{"identity":{"traits":{"lang":"de"}}}}`, "de"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mail(t, `mail.language(ctx, ['en', 'de', 'pt-BR'])`, decode(t, []byte(test.ctx)))
			if err != nil || got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

const layout = `mail.layout({
	lang: ctx.x, subject: ctx.x, preview: ctx.x, footer: ctx.x,
	brand: { name: ctx.x, url: 'https://' + ctx.x, logo: 'https://' + ctx.x, color: ctx.x },
	content: [ctx.x, ctx, mail.heading(ctx.x), [ctx.x, mail.strong(ctx.x), mail.link(ctx.x, 'https://' + ctx.x)],
		mail.button(ctx.x, 'https://' + ctx.x, ctx.x), mail.code(ctx.x), mail.small(ctx.x)],
})`

var tag = regexp.MustCompile(`(?s)<!--.*?-->|<style>.*?</style>|</?[a-z0-9]+( [a-z-]+="[^"<>']*")*>|<!DOCTYPE html>`)

// checkLayout looks at a layout whose every part was x.
func checkLayout(t *testing.T, x string, got any) {
	t.Helper()
	mail := got.(map[string]any)
	for _, part := range []string{"subject", "html", "text"} {
		for _, merge := range []string{"*|", "{{"} {
			if strings.Contains(mail[part].(string), merge) {
				t.Errorf("%q: merge tag in %s", x, part)
			}
		}
	}
	if strings.ContainsAny(mail["subject"].(string), "\r\n\x00") {
		t.Errorf("%q: subject %q", x, mail["subject"])
	}
	if rest := tag.ReplaceAllString(mail["html"].(string), ""); strings.ContainsAny(rest, `<>"'`) {
		t.Errorf("%q: HTML in %s", x, rest)
	}
	elements := len(tag.FindAllString(mail["html"].(string), -1)) - strings.Count(mail["html"].(string), "<br>")
	if elements < 40 {
		t.Errorf("%q: %d elements", x, elements)
	}
}

func TestMailLayout(t *testing.T) {
	for _, x := range []string{
		"Ada", "", `"><script>alert('x')</script>`, "*|X|*", "{{#each}}", "*", "|", "{", "\r\n\x00", "-->", "&lt;b&gt;",
	} {
		got, err := mail(t, layout, map[string]any{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		checkLayout(t, x, got)
	}
}

func FuzzMailLayout(f *testing.F) {
	template := load(f, "local mail = import 'mail.libsonnet'; function(ctx) { out: "+layout+
		", html: mail.html(ctx.x), name: mail.fullName({ traits: { name: ctx.x } }), lang: mail.language({ flow: "+
		"{ transient_payload: { lang: ctx.x } }, request_headers: { 'Accept-Language': [ctx.x] } }, ['en', 'de']) }")
	f.Add(`"><b>*|{{`)
	f.Add("de;q=0.5,en;q=;=,")
	f.Fuzz(func(t *testing.T, x string) {
		encoded, err := json.Marshal(map[string]any{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		ctx := decode(t, encoded)
		rendered, err := template.Render(t.Context(), ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := plainly(t, rendered).(map[string]any)
		checkLayout(t, x, got["out"])
		if html.UnescapeString(got["html"].(string)) != ctx.(map[string]any)["x"] {
			t.Errorf("%q became %q", x, got["html"])
		}
		if strings.ContainsAny(got["name"].(string), "\r\n\t\x00") {
			t.Errorf("name %q", got["name"])
		}
	})
}

// TestMailDocumentation renders the example of docs/mail.md.
func TestMailDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```jsonnet\n")
	example, _, _ = strings.Cut(example, "```")
	got, err := load(t, example).Render(t.Context(), decode(t, []byte(`{
		"flow": {"transient_payload": {"lang": "de"}},
		"identity": {"traits": {"name": {"first": "Ada"}},
			"verifiable_addresses": [{"via": "email", "value": "ada@example.net"}]}
	}`)))
	if err != nil {
		t.Fatal(err)
	}
	var mail struct {
		Message struct {
			Subject, HTML, Text string
			To                  []struct{ Email, Name string }
		}
	}
	encoded, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &mail); err != nil {
		t.Fatal(err)
	}
	const text = "Hallo Ada,\n\ndein Konto ist bereit.\n\nSieh dich um:\nhttps://www.example.com/start\n\n-- \n" +
		"Example Club, 1 High Street, Oxford\n"
	message := mail.Message
	if message.Subject != "Willkommen bei Example Club" || message.Text != text ||
		!strings.Contains(message.HTML, "Hallo <strong>Ada</strong>,") ||
		len(message.To) != 1 || message.To[0].Email != "ada@example.net" || message.To[0].Name != "Ada" {
		t.Errorf("got %v", got)
	}
}
