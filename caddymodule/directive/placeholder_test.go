package directive

import (
	"fmt"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Setenv("KEY", "value")
	t.Setenv("EMPTY", "")
	t.Setenv("BRACES", "{a}}")
	lone := func(brace string, at int, other string) string {
		return fmt.Sprintf("api_key: the %q at character %d has no %q: complete the placeholder, "+
			"or write \\%s for the character itself", brace, at, other, brace)
	}
	for _, test := range []struct{ value, want, fails string }{
		{"plain", "plain", ""},
		{"a-{env.KEY}", "a-value", ""},
		{"", "", "api_key is empty"},
		{"{env.EMPTY}", "", "api_key: evaluated placeholder {env.EMPTY} is empty"},
		{"{file./nowhere}", "", "api_key: evaluated placeholder {file./nowhere} is empty"},
		{"{envv.KEY}", "", "api_key: unrecognized placeholder {envv.KEY}"},
		{`a\{b\}{env.KEY}`, "a{b}value", ""},
		{"{env.BRACES}", "{a}}", ""},
		{"{env.KEY", "", lone("{", 1, "}")},
		{"é{fix", "", lone("{", 2, "}")},
		{"pre}fix", "", lone("}", 4, "{")},
		{"{env.KEY} }", "", lone("}", 11, "{")},
		{"{env.KEY}}", "", lone("}", 10, "{")},
		{"{{env.KEY}", "", lone("{", 1, "}")},
		{"a{b{env.KEY}", "", lone("{", 2, "}")},
		{`{env.KEY\}`, "", lone("{", 1, "}")},
	} {
		got, err := Expand("api_key", test.value)
		if got != test.want || (err != nil) != (test.fails != "") || err != nil && err.Error() != test.fails {
			t.Errorf("%q: %q, %v", test.value, got, err)
		}
	}
	if _, err := ExpandAll("key", []string{"a", "{env.EMPTY}"}); err == nil ||
		err.Error() != "key: value 2: evaluated placeholder {env.EMPTY} is empty" {
		t.Errorf("an empty value: %v", err)
	}
}
