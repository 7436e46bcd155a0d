package mailchimp

import (
	"errors"
	"strings"
	"testing"
)

func TestInvalidError(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, test := range []struct {
		name              string
		err               error
		text, field, safe string
	}{
		{"path", Invalid("to[0].email", "is %s", "missing"), "to[0].email: is missing", "email", ""},
		{"element", Invalid("tags[1]", "is empty"), "tags[1]: is empty", "tags", ""},
		{"no path", Invalid("", "is no JSON"), "is no JSON", "", ""},
		{"type", WrongType("a", "a string", []any{}), "a: must be a string, is an array", "a", ""},
		{
			"unknown field", UnknownField("", "sujbect", []string{"subject"}),
			`sujbect: unknown field, did you mean "subject"?`, "sujbect", `…: unknown field, did you mean "subject"?`,
		},
		{
			"alike to what stays", UnknownField("subject", "subjec", []string{"subject"}),
			`subject.subjec: unknown field, did you mean "subject"?`, "subjec",
			`subject.…: unknown field, did you mean "subject"?`,
		},
		{
			"strange key", UnknownField("a", "b.c [d]\n", nil), `a."b.c [d]\n": unknown field`, "b.c [d]\n",
			"a.…: unknown field",
		},
		{"long key", UnknownField("", long, nil), `"` + long[1:] + `…": unknown field`, long, "…: unknown field"},
		{"empty key", UnknownField("a", "", nil), "a.: unknown field", "", ""},
		{
			"word in the problem", Quoting("ada@b.example", "b.example", Invalid("from", "b.example isn't allowed")),
			"from: b.example isn't allowed", "from", "from: … isn't allowed",
		},
		{"no quote", Quoting("x", "x", errors.New("other")), "other", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.err.Error() != test.text {
				t.Errorf("the text is %s", test.err)
			}
			var invalid *InvalidError
			if !errors.As(test.err, &invalid) {
				if test.name != "no quote" {
					t.Errorf("got a %T", test.err)
				}
				return
			}
			if got := invalid.Field(); got != test.field {
				t.Errorf("the field is %s", got)
			}
			if test.safe == "" {
				test.safe = test.text
			}
			if got := invalid.Safe(func(string) bool { return false }); got != test.safe {
				t.Errorf("the safe text is %s", got)
			}
			if got := invalid.Safe(func(string) bool { return true }); got != test.text {
				t.Errorf("a literal is shown as %s", got)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"archive", "email_address", "language", "subject", "tags"}
	for name, want := range map[string]string{
		"tgas": "tags", "tag": "tags", "Tags": "tags", "tahgs": "tags", "sujbect": "subject", "langage": "language",
		"email": "email_address", "ema": "", "colour": "", "": "", "x": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "a", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abd", 1},
		{"abc", "bc", 1},
		{"abc", "acb", 1},
		{"abcd", "badc", 2},
		{"kitten", "sitting", 3},
		{"a", "abcdefghijk", 9},
	} {
		if got := editDistance(test.a, test.b, 9); got != test.want {
			t.Errorf("%q, %q: %d", test.a, test.b, got)
		}
	}
}

func TestExpiresIn(t *testing.T) {
	for text, want := range map[string]string{"15m": "15m0s", "0s": "", "-1h": "", "soon": "", "": "0s"} {
		got, err := ExpiresIn(text, "24h")
		if want != "" && (err != nil || got.String() != want) ||
			want == "" &&
				(err == nil || err.Error() != `delivery.expires_in: must be a duration of more than 0, such as "24h"`) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
