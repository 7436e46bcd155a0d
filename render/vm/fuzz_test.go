package vm_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

var fuzzCtx = map[string]any{
	"name": "Zoë <b>\"Quote\"</b> 漢字 😀", "html": "<p>a & b</p>", "n": 19.99, "list": []any{
		1.0, "two", nil, map[string]any{"a": true},
	},
	"a": 3.0, "b": map[string]any{"a": nil, "c": []any{}}, "x y": "s",
}

// FuzzPrograms compares with go-jsonnet on generated programs.
func FuzzPrograms(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(randomBytes(random))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			t.Skip()
		}
		g := generator{data: data}
		agree(t, g.program(), fuzzCtx)
	})
}

func randomBytes(random *rand.Rand) []byte {
	data := make([]byte, 20+random.IntN(200))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// TestPrograms is FuzzPrograms on other programs.
func TestPrograms(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		g := generator{data: randomBytes(random)}
		program := g.program()
		if agree(t, program, fuzzCtx); t.Failed() {
			return
		}
	}
}

// FuzzFormat compares what std.format makes of a format and values.
func FuzzFormat(f *testing.F) {
	for _, seed := range [][2]string{
		{"%s and %d", `["a", 1]`},
		{"%(a)05.1f|%(b)-8s|", `{"a": -2.75, "b": "é"}`},
		{"%#x %#X %#o %+d % d", `[255, 255, 8, 1, 1]`},
		{"%e %E %g %G %.3g %#g", `[12345.678, 0.00012, 1e-7, 1e20, 100, 1]`},
		{"%5%|%-5%|%c%c", `[65, "é"]`},
		{"%*.*f%-*d", `[8, 2, 3.14159, 4, 7]`},
		{"100%% of %s", `"x"`},
		{"%(a)s%(a)", `{"a": null}`},
		{"%.0f %.0e %.10f %f", `[0.5, 1.5, 1e15, 1e17]`},
		{"%d %i %u %x", `[1e21, -0.9, -1.5, -255.5]`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, format, values string) {
		var data any
		if json.Unmarshal([]byte(values), &data) != nil || len(format) > 100 {
			t.Skip()
		}
		agree(t, "function(ctx) std.format(ctx.f, ctx.v)", map[string]any{"f": string([]rune(format)), "v": data})
	})
}
