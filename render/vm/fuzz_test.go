package vm_test

import (
	"math/rand/v2"
	"testing"
)

var fuzzCtx = map[string]any{
	"name": "Zoë <b>\"Quote\"</b> 漢字 😀", "html": "<p>a & b</p>", "n": 19.99, "list": []any{1.0, "two", nil, map[string]any{"a": true}},
	"a": 3.0, "b": map[string]any{"a": nil, "c": []any{}}, "x y": "s",
}

// FuzzPrograms compares with go-jsonnet on generated programs.
func FuzzPrograms(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
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
	for range 3000 {
		g := generator{data: randomBytes(random)}
		program := g.program()
		if agree(t, program, fuzzCtx); t.Failed() {
			return
		}
	}
}
