package render_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// TestWorkIsBounded loads what takes go-jsonnet minutes or gigabytes, although it is nested little.
func TestWorkIsBounded(t *testing.T) {
	list := func(n int, item func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(item(i))
		}
		return b.String()
	}
	always := func(text string) func(int) string { return func(int) string { return text } }
	name := func(i int) string { return fmt.Sprintf("a%d, ", i) }
	bind := func(i int) string { return fmt.Sprintf("a%d = 1, ", i) }
	local := func(i int) string { return "local " + bind(i) }
	// Neither a thousand names nor these many objects are too much, but both together are.
	objects := "[" + list(80_000, always("{},")) + "]"
	for name, text := range map[string]string{
		"many tokens":                  "[" + list(2_000_000, always("1,")) + "]",
		"many names":                   "local " + list(50_000, bind) + "z = 1; 1",
		"names around many objects":    "local " + list(1000, bind) + "z = 1; " + objects,
		"names after many objects":     "local y = " + objects + ", " + list(1000, bind) + "z = 1; 1",
		"fields around many objects":   "{ " + list(1000, local) + "y: " + objects + " }",
		"fields after many objects":    "{ y: " + objects + ", " + list(1000, local) + " }",
		"for around many objects":      "[" + objects + list(1000, always(" for x in []")) + "]",
		"parameters":                   "function(" + list(1000, name) + ") " + objects,
		"parameters after defaults":    "function(y=" + objects + ", " + list(1000, name) + ") 1",
		"parameters of local":          "local f(" + list(1000, name) + ") = " + objects + "; 1",
		"parameters of methods":        "{ f(" + list(1000, name) + "): " + objects + " }",
		"a long name":                  "local " + strings.Repeat("a", 1<<20) + " = " + objects + "; 1",
		"locals of objects around all": strings.Repeat("{ local a = ", 50) + "[" + list(30_000, always("1,")) + "]",
		"a text block far to the left": "|||\n  a\n" + strings.Repeat("\t", 10<<20) + "|||",
		"the same, unterminated":       "|||\n  a\n" + strings.Repeat("\t", 10<<20),
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			err := render.Compile("t.jsonnet", map[string][]byte{"t.jsonnet": []byte("function(ctx) " + text)})
			if kindOf(err) != render.KindSyntax || !strings.Contains(err.Error(), "too much code: load") {
				t.Errorf("got %.200v", err)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestLargeTemplates loads what is large, but ordinary.
func TestLargeTemplates(t *testing.T) {
	var lines, locals, json, cases strings.Builder
	for i := range 2_000 {
		fmt.Fprintf(&lines, "  '<tr><td>' + ctx.a + '</td></tr>' +\n")
		fmt.Fprintf(&cases, "if ctx.a == %d then %d else ", i, i)
	}
	for i := range 300 {
		fmt.Fprintf(&locals, "local f%d(a, b=1) = { x: a, y: b + %d, z: [a, b, std.length('abc')] };\n", i, i)
	}
	for i := range 60_000 {
		fmt.Fprintf(&json, "\"key %d\": \"a value of an ordinary length, more or less\",", i)
	}
	for name, files := range map[string]map[string]string{
		"2,000 lines, joined": template("{ a: " + lines.String() + "'' }"),
		"2,000 cases":         template("{ a: " + cases.String() + "1 }"),
		"300 functions":       {"t.jsonnet": locals.String() + "function(ctx) { a: f7(1) }"},
		"3 MB of JSON":        {"t.jsonnet": "function(ctx) { a: import 'a' }", "a": "{" + json.String() + "}"},
		"8 MB of text":        {"t.jsonnet": "function(ctx) { a: (importstr 'a')[7] }", "a": strings.Repeat("a", 8<<20)},
		"a text block, 3 MB":  template("{ a: std.length(|||\n" + strings.Repeat("  <p>it's (\n", 250_000) + "|||) }"),
		"with a byte order mark": {
			"t.jsonnet": "\uFEFFfunction(ctx) { a: import 'a' }", "a": "\uFEFF'x'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := render.Load(filepath.Join(write(t, files), "t.jsonnet"), render.Options{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := loaded.Render(t.Context(), map[string]any{"a": "x"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSourcesTooLarge(t *testing.T) {
	for name, files := range map[string]map[string]int64{
		"a template": {"t.jsonnet": 1 << 28},
		"a text":     {"a": 1 << 28},
		"two texts":  {"a": render.MaxSource / 2, "b": render.MaxSource / 2},
	} {
		t.Run(name, func(t *testing.T) {
			folder := write(t, map[string]string{
				"t.jsonnet": "function(ctx) [importstr 'a', importbin 'b']", "a": "", "b": "",
			})
			for name, size := range files {
				if err := os.Truncate(filepath.Join(folder, name), size); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := render.Load(filepath.Join(folder, "t.jsonnet"), render.Options{})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.HasSuffix(err.Error(), "are larger than 16 MiB together") {
				t.Errorf("got %v", err)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 300<<20 {
				t.Errorf("%d MB were allocated", allocated>>20)
			}
		})
	}
}

// TestImportedManyTimes imports one file a hundred times: it is kept once.
func TestImportedManyTimes(t *testing.T) {
	for _, imports := range []string{"importstr", "importbin"} {
		files := template("[" + strings.Repeat(imports+" 'a', ", 100) + "]")
		files["a"] = strings.Repeat("a", 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := render.Load(filepath.Join(write(t, files), "t.jsonnet"), render.Options{}); err != nil {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
			t.Errorf("%s: %d MB were allocated", imports, allocated>>20)
		}
	}
}
