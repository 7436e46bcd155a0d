package mailchimp

import (
	"encoding/json"
	"testing"
)

func TestEncode(t *testing.T) {
	got, err := Encode(map[string]any{"html": "<p>&</p>\u2028"})
	if err != nil || string(got) != `{"html":"<p>&</p>\u2028"}` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := Encode(func() {}); err == nil {
		t.Error("a function is encoded")
	}
}

func TestDecodeObject(t *testing.T) {
	for text, want := range map[string]string{
		`{`:     "it is not valid JSON",
		`{} {}`: "there is something after it",
		`{}]`:   "there is something after it",
		`[]`:    "it: must be an object, is an array",
		`null`:  "it: must be an object, is null",
		`"x"`:   "it: must be an object, is a string",
		`1`:     "it: must be an object, is a number",
		`true`:  "it: must be an object, is a boolean",
	} {
		if _, err := DecodeObject([]byte(text), "it"); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	got, err := DecodeObject([]byte(`{"n":1.50} `), "it")
	if err != nil || got["n"] != json.Number("1.50") {
		t.Errorf("got %v, %v", got, err)
	}
}
