package vm

import "testing"

func TestQuotedSize(t *testing.T) {
	for r := range rune(0x300) {
		s := "a" + string(r) + string(r)
		if got, want := quotedSize(s), len(quote(nil, s)); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}
