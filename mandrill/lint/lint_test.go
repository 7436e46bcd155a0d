package lint_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/lint"
)

func TestCheck(t *testing.T) {
	good := mandrill.Message{
		Subject: "Welcome", Text: "Hello",
		HTML:   `<img src="https://example.com/a.png" alt=""><img src="cid:logo" alt="Logo">`,
		Images: []mandrill.Attachment{{Name: "logo"}},
	}
	for _, test := range []struct {
		name   string
		change func(*mandrill.Message)
		// want is empty where there is nothing to be said.
		want string
	}{
		{"good", func(*mandrill.Message) {}, ""},
		{"no text", func(m *mandrill.Message) { m.Text = "" }, "No text part"},
		{"text by Mandrill", func(m *mandrill.Message) { m.Text, m.AutoText = "", true }, ""},
		{"no subject", func(m *mandrill.Message) { m.Subject = " " }, "No subject"},
		{"long subject", func(m *mandrill.Message) { m.Subject = strings.Repeat("ö", 61) }, "has 61 characters"},
		{"subject of 60", func(m *mandrill.Message) { m.Subject = strings.Repeat("ö", 60) }, ""},
		{"no alt", func(m *mandrill.Message) { m.HTML = `<IMG SRC="https://example.com/a.png">` }, "An image without alt"},
		{"http", func(m *mandrill.Message) { m.HTML = `<img alt="" src="http://example.com/a.png">` }, "not by https"},
		{
			"relative", func(m *mandrill.Message) { m.HTML = `<img alt="" src="/a.png"><img alt="">` },
			"2 images with an address that means nothing",
		},
		{"data", func(m *mandrill.Message) { m.HTML = `<img alt="" src="data:image/png;base64,AA==">` }, "as data"},
		{"cid", func(m *mandrill.Message) { m.HTML = `<img alt="" src="cid:other">` }, "not among message.images"},
		{"not an image", func(m *mandrill.Message) { m.HTML = `<p>&lt;img src=x&gt;</p><!-- <img> -->` }, ""},
		{"large", func(m *mandrill.Message) { m.HTML = strings.Repeat("x", 102<<10+1) }, "103 KB: Gmail clips"},
		{"as large as may be", func(m *mandrill.Message) { m.HTML = strings.Repeat("x", 102<<10) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := good
			test.change(&m)
			said := lint.Check(&m)
			if test.want == "" && len(said) > 0 || test.want != "" && (len(said) != 1 || !strings.Contains(said[0], test.want)) {
				t.Errorf("said %q", said)
			}
		})
	}
}

// message is a template in Go: it puts names into a mail, escaped or not.
func message(t *testing.T, m map[string]any) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{"message": m})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestInput(t *testing.T) {
	ctx := map[string]any{
		"identity": map[string]any{
			"id": "1", "traits": map[string]any{"email": "ada@example.net", "name": map[string]any{"first": "Ada", "last": "L"}},
		},
		"flow": map[string]any{"transient_payload": map[string]any{"lang": "de", "tags": []any{"a"}}},
	}
	field := func(ctx any, path ...string) string {
		for _, name := range path {
			ctx = ctx.(map[string]any)[name]
		}
		return ctx.(string)
	}
	escape := strings.NewReplacer("<", "&lt;", "*|", "* |", "{{", "{ {").Replace
	for _, test := range []struct {
		name     string
		evaluate func(ctx any) ([]byte, error)
		want     []string
	}{
		{"escaped", func(ctx any) ([]byte, error) {
			return message(t, map[string]any{"html": escape(field(ctx, "identity", "traits", "name", "first")), "merge": true}),
				nil
		}, nil},
		{"unescaped", func(ctx any) ([]byte, error) {
			return message(t, map[string]any{
				"html": field(ctx, "identity", "traits", "name", "last"), "text": field(ctx, "identity", "traits", "name", "first"),
			}), nil
		}, []string{"ctx.identity.traits.name.last comes into the HTML unescaped"}},
		{"not typed", func(ctx any) ([]byte, error) {
			return message(t, map[string]any{"html": field(ctx, "identity", "id")}), nil
		}, nil},
		{"merge tags", func(ctx any) ([]byte, error) {
			return message(t, map[string]any{"subject": field(ctx, "identity", "traits", "email"), "merge": true}), nil
		}, []string{"ctx.identity.traits.email comes into the mail with its merge tags, and merging (mailchimp)"}},
		{"handlebars", func(ctx any) ([]byte, error) {
			return message(t, map[string]any{
				"text": field(ctx, "identity", "traits", "email"), "global_merge_vars": []any{
					map[string]any{"name": "a", "content": "b"},
				}, "merge_language": "handlebars",
			}), nil
		}, []string{"merging (handlebars)"}},
		{"a field must be as it is", func(ctx any) ([]byte, error) {
			if field(ctx, "flow", "transient_payload", "lang") != "de" {
				return nil, errors.New("no such language")
			}
			return message(t, map[string]any{"html": field(ctx, "identity", "traits", "name", "first")}), nil
		}, []string{"ctx.identity.traits.name.first"}},
		{"never evaluates", func(any) ([]byte, error) { return nil, errors.New("no") }, nil},
		{"not a message", func(any) ([]byte, error) { return []byte(`{"message":1}`), nil }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			said := lint.Input(ctx, test.evaluate)
			if len(said) != len(test.want) {
				t.Fatalf("said %q", said)
			}
			for i, want := range test.want {
				if !strings.Contains(said[i], want) {
					t.Errorf("said %q, want %q", said[i], want)
				}
			}
		})
	}
	if said := lint.Input(nil, nil); said != nil {
		t.Errorf("of nothing: %q", said)
	}
}

// TestPlacesOfInput: whatever a person can have written is tried, and nothing else.
func TestPlacesOfInput(t *testing.T) {
	traits := map[string]any{"traits": map[string]any{"name": "x"}}
	payload := map[string]any{"note": "x"}
	ctx := map[string]any{
		"identity": traits, "transient_payload": payload, "recipient": "x",
		"flow": map[string]any{"id": "x", "identity": traits, "transient_payload": payload},
		"template_data": map[string]any{
			"to": "x", "identity": traits, "traits": traits["traits"], "transient_payload": payload,
		},
		"request_headers": map[string]any{"User-Agent": []any{"x"}, "Host": []any{"x"}},
	}
	var said []string
	for _, problem := range lint.Input(ctx, func(ctx any) ([]byte, error) {
		var html strings.Builder
		encoder := json.NewEncoder(&html)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(ctx); err != nil {
			return nil, err
		}
		return message(t, map[string]any{"html": html.String()}), nil
	}) {
		place, _, _ := strings.Cut(problem, " ")
		said = append(said, place)
	}
	want := []string{
		"ctx.flow.identity.traits.name", "ctx.flow.transient_payload.note", "ctx.identity.traits.name",
		"ctx.request_headers.User-Agent.0",
		"ctx.template_data.identity.traits.name", "ctx.template_data.traits.name", "ctx.template_data.transient_payload.note",
		"ctx.transient_payload.note",
	}
	if !slices.Equal(said, want) {
		t.Errorf("tried are %q", said)
	}
}
