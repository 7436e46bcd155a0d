package render_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// forms are ways in which Jsonnet nests, or makes long chains: what is repeated before and behind the middle.
var forms = map[string][3]string{
	"parentheses":                   {"(", "1", ")"},
	"parentheses and operators":     {"1 + (", "1", ")"},
	"arrays":                        {"[", "1", "]"},
	"arrays of many":                {"[1, 2, ", "1", ", 3]"},
	"objects":                       {"{ a: ", "1", "}"},
	"objects, unclosed":             {"{ a: ", "", ""},
	"names of fields":               {"{ [", "'a'", "]: 1 }"},
	"locals of objects":             {"{ local a = ", "1", ", b: 1 }"},
	"assertions of objects":         {"{ assert ", "true", "}"},
	"methods":                       {"{ a(x): ", "1", "}"},
	"calls":                         {"std.length(", "1", ")"},
	"calls with names":              {"std.get(o=", "1", ")"},
	"calls of calls":                {"", "std", "(1)"},
	"functions called at once":      {"(function(a) a)(", "1", ")"},
	"indexes in indexes":            {"std[", "1", "]"},
	"indexes":                       {"", "std", "[0]"},
	"fields":                        {"", "std", ".a"},
	"slices":                        {"", "std", "[0:1]"},
	"slices in slices":              {"std[", "1", ":]"},
	"super":                         {"{ a: super[", "1", "] }"},
	"in super":                      {"{ a: (", "1", " in super) }"},
	"objects behind objects":        {"", "{}", "{}"},
	"objects in objects behind one": {"{} { a: ", "1", "}"},
	"not":                           {"!", "true", ""},
	"minus":                         {"-", "1", ""},
	"minus and plus, spaced":        {"- + ~ ", "1", ""},
	"sums":                          {"1 + ", "1", ""},
	"sums without blanks":           {"1+", "1", ""},
	"products":                      {"1 * ", "1", ""},
	"remainders":                    {"7 % ", "1", ""},
	"in":                            {"'a' in ", "{}", ""},
	"and":                           {"true && ", "true", ""},
	"comparisons":                   {"1 == ", "1", ""},
	"locals":                        {"local a = 1; ", "1", ""},
	"locals in locals":              {"local a = ", "1", "; 1"},
	"locals with several names":     {"local a = 1, b = 2; ", "1", ""},
	"local functions":               {"local f(x) = ", "1", "; 1"},
	"assertions":                    {"assert true; ", "1", ""},
	"assertions in assertions":      {"assert ", "true", "; true"},
	"messages of assertions":        {"assert true : ", "1", "; true"},
	"else":                          {"if true then 1 else ", "1", ""},
	"then":                          {"if true then ", "1", ""},
	"conditions":                    {"if ", "true", " then true"},
	"functions":                     {"function(x) ", "1", ""},
	"defaults":                      {"function(x=", "1", ") 1"},
	"errors":                        {"error ", "'a'", ""},
	"imports":                       {"import ", "'a'", ""},
	"importstr":                     {"importstr ", "'a'", ""},
	"comprehensions":                {"[", "1", " for x in []]"},
	"comprehensions in for":         {"[1 for x in ", "[]", "]"},
	"for":                           {"[1 ", "for x in []]", ""},
	"for after for":                 {"", "", " for x in []"},
	"if after for":                  {"", "", " if true"},
	"object comprehensions":         {"{ [", "'a'", "]: 1 for x in [] }"},
	"their values":                  {"{ ['a']: ", "1", " for x in [] }"},
	"their lists":                   {"{ ['a']: 1 for x in ", "[]", " }"},
	"their locals":                  {"{ local z = ", "1", ", ['a']: 1 for x in [] }"},
	"behind strings and comments":   {"'(' /* ( */ + @'''' + // (\n", "1", ""},
	"behind text blocks":            {"|||\n  it's (\n||| + (", "1", ")"},
	"behind numbers":                {"1.5e+3 + 1e5.a(", "1", ")"},
}

// nested repeats a form.
func nested(name string, n int) string {
	form := forms[name]
	text := strings.Repeat(form[0], n) + form[1] + strings.Repeat(form[2], n)
	switch name {
	case "for after for":
		return "[1 for y in []" + text + "]"
	case "if after for":
		return "[1 for y in []" + text + "]"
	}
	return text
}

func template(body string) map[string]string {
	return map[string]string{"t.jsonnet": "function(ctx)\n" + body}
}

// TestEndlessNesting loads what ended the process with a stack overflow, in a template and in an import.
func TestEndlessNesting(t *testing.T) {
	for name := range forms {
		t.Run(name, func(t *testing.T) {
			deep := nested(name, 200_000)
			imported := template("import 'deep'")
			imported["deep"] = "\n" + deep
			for _, files := range []map[string]string{template(deep), imported} {
				_, err := render.Load(filepath.Join(write(t, files), "t.jsonnet"), render.Options{})
				var e *render.Error
				if !errors.As(err, &e) || e.Kind != render.KindSyntax || e.Line < 2 || e.Column < 1 ||
					!strings.Contains(e.Message, "levels: give") && !strings.Contains(e.Message, "parts: split") &&
						!strings.Contains(e.Message, "too much code: load") {
					t.Errorf("got %.200v", err)
				}
			}
		})
	}
}

// TestStackWithinBounds compiles each form as deep as the bounds allow, on an eighth of the stack that Go allows: an
// overflow ends the test's process.
func TestStackWithinBounds(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(128 << 20))
	for name := range forms {
		t.Run(name, func(t *testing.T) {
			deepest := sort.Search(20_000, func(n int) bool { return !render.Bounded("function(ctx)\n" + nested(name, n+1)) })
			text := nested(name, deepest)
			if deepest < 100 {
				t.Errorf("only %d levels are within bounds", deepest)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			err := render.Compile("t.jsonnet", map[string][]byte{"t.jsonnet": []byte("function(ctx)\n" + text)})
			runtime.ReadMemStats(&after)
			took, allocated := time.Since(started), (after.TotalAlloc-before.TotalAlloc)>>20
			t.Logf("%d levels, %v, %d MB: %.100v", deepest, took, allocated, err)
			if took > 10*time.Second || allocated > 1000 {
				t.Errorf("it took %v and %d MB", took, allocated)
			}
		})
	}
}

// TestNestedTemplateIsRefused saves a template that nests too deep over a good one, and restarts with it.
func TestNestedTemplateIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := render.Options{LastGood: filepath.Join(t.TempDir(), "kept")}
		w := watch(t, map[string]string{"t.jsonnet": `function(ctx) { a: 'one' }`}, o)
		w.put("t.jsonnet", "function(ctx) "+nested("parentheses", 25_000))
		w.expect("one", 1)
		w.start(o)
		err := w.template.Status().Err
		if err == nil || !strings.Contains(err.Error(), "t.jsonnet:1:265: brackets are nested deeper") {
			t.Errorf("status has %v", err)
		}
		w.expect("one", 0)
	})
}

// TestAwait leaves a function behind that hangs, as one does that reads from a file system that does not answer.
func TestAwait(t *testing.T) {
	hang := make(chan int)
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := render.Await(ctx, func() int { return <-hang }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n, err := render.Await(t.Context(), func() int { return 7 }); n != 7 || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
}

// FuzzLoad compiles sources, and sources that repeat a part again and again, on an eighth of the stack that Go allows.
func FuzzLoad(f *testing.F) {
	for _, form := range forms {
		f.Add("", form[0], form[1], form[2], "", uint16(300))
	}
	f.Add("[1 for y in []", "", "", " for x in []", "]", uint16(20_000))
	f.Fuzz(func(t *testing.T, begin, before, middle, behind, end string, n uint16) {
		defer debug.SetMaxStack(debug.SetMaxStack(128 << 20))
		if int(n)*(len(before)+len(behind)) > render.MaxSource {
			t.Skip()
		}
		text := begin + strings.Repeat(before, int(n)) + middle + strings.Repeat(behind, int(n)) + end
		started := time.Now()
		err := render.Compile("t.jsonnet", map[string][]byte{"t.jsonnet": []byte(text)})
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if err != nil && strings.Contains(err.Error(), "crashed") {
			t.Error(err)
		}
	})
}
