package vm

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

func init() {
	for name, sum := range map[string]func(s []byte) []byte{
		"md5":    func(s []byte) []byte { d := md5.Sum(s); return d[:] },
		"sha1":   func(s []byte) []byte { d := sha1.Sum(s); return d[:] },
		"sha256": func(s []byte) []byte { d := sha256.Sum256(s); return d[:] },
		"sha512": func(s []byte) []byte { d := sha512.Sum512(s); return d[:] },
	} {
		strict1(name, func(m *machine, v value) (value, *fault) {
			return m.onString(v, func(s string) string { return hex.EncodeToString(sum([]byte(s))) })
		}, "s")
	}
	strict1("toString", func(m *machine, v value) (value, *fault) {
		t, f := m.toText(v)
		return t, f
	}, "a")
	strict1("escapeStringJson", func(m *machine, v value) (value, *fault) {
		s, f := m.toString(v)
		if f != nil {
			return nil, f
		}
		n := quotedSize(s)
		if f := m.charge(2*n + sizeText); f != nil {
			return nil, f
		}
		return newText(string(quote(make([]byte, 0, n), s))), nil
	}, "str_")
}

func init() {
	strict1("char", char, "n")
	strict1("codepoint", codepoint, "str")
	strict1("base64", encodeBase64, "input")
	strict1("base64Decode", func(m *machine, v value) (value, *fault) {
		data, f := decodeBase64(m, v)
		if f != nil {
			return nil, f
		}
		return m.sayBytes(data)
	}, "str")
	strict1("base64DecodeBytes", func(m *machine, v value) (value, *fault) {
		data, f := decodeBase64(m, v)
		if f == nil {
			f = m.charge(len(data) * (sizeSlot + sizeThunk))
		}
		if f != nil {
			return nil, f
		}
		return bytesArray(data), nil
	}, "str")
	strict1("encodeUTF8", func(m *machine, v value) (value, *fault) {
		s, f := m.asString(v)
		if f == nil {
			f = m.charge(len(s) * (sizeSlot + sizeThunk))
		}
		if f != nil {
			return nil, f
		}
		return bytesArray([]byte(s)), nil
	}, "str")
	strict1("decodeUTF8", func(m *machine, v value) (value, *fault) {
		data, f := toBytes(m, v, func(v value, n int, f *fault) *fault {
			if f == nil {
				f = failf("Bytes must be integers in range [0, 255], got %d", n)
			}
			return f
		})
		if f != nil {
			return nil, f
		}
		return m.sayBytes(data)
	}, "arr")
	strict1("parseJson", parseJSON, "str")
}

func char(_ *machine, v value) (value, *fault) {
	x, f := asNumber(v)
	switch {
	case f != nil:
		return nil, f
	case x > utf8.MaxRune:
		return nil, failf("Invalid unicode codepoint, got %v", x)
	case x < 0:
		return nil, failf("Codepoints must be >= 0, got %v", x)
	}
	return letter([]rune(string(rune(x)))[0]), nil
}

func codepoint(m *machine, v value) (value, *fault) {
	t, f := asText(v)
	if f != nil {
		return nil, f
	}
	n, f := t.length(m)
	if f != nil {
		return nil, f
	}
	if n != 1 {
		return nil, failf("codepoint takes a string of length 1, got length %v", n)
	}
	s, f := t.flat(m)
	r, _ := utf8.DecodeRuneInString(s)
	return number(float64(r)), f
}

// toBytes makes bytes of an array of numbers. bad makes the fault of one that is none.
func toBytes(m *machine, v value, bad func(v value, n int, f *fault) *fault) ([]byte, *fault) {
	a, f := asArray(v)
	if f != nil {
		return nil, f
	}
	if f := m.charge(2 * len(a.elements)); f != nil {
		return nil, f
	}
	data := make([]byte, len(a.elements))
	for i, t := range a.elements {
		v, f := t.force(m)
		if f != nil {
			return nil, f
		}
		n, f := asInt(v)
		if f != nil || n < 0 || n > 255 {
			return nil, bad(v, n, f)
		}
		data[i] = byte(n)
	}
	return data, nil
}

func encodeBase64(m *machine, v value) (value, *fault) {
	outOfRange := func(n int) *fault {
		return failf("base64 encountered invalid codepoint value in the array (must be 0 <= X <= 255), got %d", n)
	}
	var data []byte
	switch v := v.(type) {
	case *text:
		s, f := v.flat(m)
		if f != nil {
			return nil, f
		}
		for _, r := range s {
			if r > 255 {
				return nil, outOfRange(int(r))
			}
		}
		if f := m.charge(len(s)); f != nil {
			return nil, f
		}
		data = []byte(s)
	case *array:
		var f *fault
		data, f = toBytes(m, v, func(v value, n int, f *fault) *fault {
			if f != nil {
				return fail("base64 encountered a non-integer value in the array, got " + typeName(v))
			}
			return outOfRange(n)
		})
		if f != nil {
			return nil, f
		}
	default:
		return nil, fail("base64 can only base64 encode strings / arrays of single bytes, got " + typeName(v))
	}
	if f := m.charge(3 * len(data)); f != nil {
		return nil, f
	}
	return newText(base64.StdEncoding.EncodeToString(data)), nil
}

func decodeBase64(m *machine, v value) ([]byte, *fault) {
	t, ok := v.(*text)
	if !ok {
		return nil, fail("base64DecodeBytes requires a string, got " + typeName(v))
	}
	s, f := t.flat(m)
	if f != nil {
		return nil, f
	}
	if len(s)%4 != 0 {
		return nil, failf("input string appears not to be a base64 encoded string. Wrong length found (%d)", len(s))
	}
	if f := m.charge(2 * len(s)); f != nil {
		return nil, f
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fail(fmt.Sprintf("failed to decode: %s", err))
	}
	return data, nil
}

func parseJSON(m *machine, v value) (value, *fault) {
	s, f := m.asString(v)
	if f != nil {
		return nil, f
	}
	if f := m.charge(jsonMemory(s)); f != nil {
		return nil, f
	}
	var data any
	if err := json.Unmarshal([]byte(s), &data); err != nil {
		return nil, failf("failed to parse JSON: %v", err.Error())
	}
	return m.fromData(data)
}

// jsonMemory is about what decoding JSON takes: a byte of it, as in [[],[], may become a value of its own,
// and an object takes much more than its braces.
func jsonMemory(s string) int { return 24*len(s) + 320*strings.Count(s, "{") }
