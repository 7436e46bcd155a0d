package directive

import "testing"

func TestExpand(t *testing.T) {
	t.Setenv("KEY", "value")
	t.Setenv("EMPTY", "")
	for _, test := range []struct{ value, want, fails string }{
		{"plain", "plain", ""},
		{"a-{env.KEY}", "a-value", ""},
		{"", "", "api_key is empty"},
		{"{env.EMPTY}", "", "api_key: evaluated placeholder {env.EMPTY} is empty"},
		{"{file./nowhere}", "", "api_key: evaluated placeholder {file./nowhere} is empty"},
		{"{envv.KEY}", "", "api_key: unrecognized placeholder {envv.KEY}"},
	} {
		got, err := Expand("api_key", test.value)
		if got != test.want || (err != nil) != (test.fails != "") || err != nil && err.Error() != test.fails {
			t.Errorf("%q: %q, %v", test.value, got, err)
		}
	}
	if _, err := ExpandAll("key", []string{"a", "{env.EMPTY}"}); err == nil {
		t.Error("an empty value is accepted")
	}
}
