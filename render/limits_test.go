package render_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// endless takes for ever.
const endless = `local fib(n) = if n < 2 then n else fib(n - 1) + fib(n - 2); function(ctx) { a: fib(60) }`

func loadWithTimeout(t *testing.T, source string, timeout time.Duration) *render.Template {
	t.Helper()
	template, err := render.Load(filepath.Join(write(t, map[string]string{"t.jsonnet": source}), "t.jsonnet"),
		render.Options{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func kindOf(err error) render.Kind {
	var e *render.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// TestAttempts runs what would exhaust the stack, the memory or the patience of plain Jsonnet.
func TestAttempts(t *testing.T) {
	const (
		fine = render.Kind("")
		// Whether the deadline or the bound of memory comes first is a matter of the machine.
		either = render.Kind("limit or timeout")
	)
	ctx := map[string]any{
		"a": strings.Repeat("x", 1<<20), "list": make([]any, 100_000), "é": strings.Repeat("é", 1<<18),
		"yaml": "a: &a " + strings.Repeat("x", 15_000) + "\nb: [" + strings.Repeat("*a,", 4_000) + "*a]\n",
	}
	for _, test := range []struct {
		name, source string
		kind         render.Kind
	}{
		{"recursion", `local f(x) = f(x) + 1; function(ctx) { a: f(1) }`, render.KindRuntime},
		{"mutual recursion in objects", `function(ctx) { a: self.b, b: self.a }`, render.KindRuntime},
		{"array in itself", `function(ctx) { local a = [a], a: a }`, render.KindRuntime},
		{"array in itself, compared", `function(ctx) { local a = [a], local b = [b], a: a == b }`, render.KindRuntime},
		{
			"array in itself, sorted", `function(ctx) { local a = [a], local b = [b], a: std.sort([a, b]) }`, render.KindRuntime,
		},
		{"object in itself, as a string", `function(ctx) { local o = { o: o }, a: '' + o }`, render.KindRuntime},
		{"object in itself, as JSON", `function(ctx) { local o = { o: o }, a: std.manifestJson(o) }`, render.KindRuntime},
		{
			"assertion of itself", `function(ctx) { assert ({ assert $.a == 1, a: 1 }).a == 1, a: $.b, b: $.a }`,
			render.KindRuntime,
		},
		{
			"tailstrict recursion, deep",
			`local f(n) = if n == 0 then 'done' else f(n - 1) tailstrict; function(ctx) { a: f(200000) }`, fine,
		},
		{"tailstrict recursion, endless", `local f(n) = f(n + 1) tailstrict; function(ctx) { a: f(0) }`, either},
		{"fib(60)", endless, either},
		{
			"nested folds",
			`local f(d) = if d == 0 then 1 else std.foldl(function(a, i) a + f(d - 1), std.range(1, 100), 0); ` +
				`function(ctx) { a: f(20) }`, either,
		},
		{
			"nested comprehensions",
			`local r = std.range(1, 1000); function(ctx) { a: std.length([1 for i in r for j in r for k in r]) }`, either,
		},
		{"range", `function(ctx) { a: std.length(std.range(1, 1e9)) }`, render.KindLimit},
		{"range, widest", `function(ctx) { a: std.range(-2147483648, 2147483647) }`, render.KindLimit},
		{"makeArray", `function(ctx) { a: std.makeArray(2e9, function(i) i) }`, render.KindLimit},
		{"repeat of a string", `function(ctx) { a: std.repeat('x', 1e9) }`, render.KindLimit},
		{"repeat of an array", `function(ctx) { a: std.repeat([1, 2], 1e9) }`, render.KindLimit},
		{"repeat of repeats", `function(ctx) { a: std.repeat(std.repeat(ctx.a, 100), 2e9) }`, render.KindLimit},
		{
			"doubling a string", `function(ctx) { a: std.foldl(function(s, i) s + s, std.range(1, 100), 'x') }`,
			render.KindLimit,
		},
		{
			"doubling an array", `function(ctx) { a: std.foldl(function(s, i) s + s, std.range(1, 100), [1]) }`,
			render.KindLimit,
		},
		{
			"doubling an object", `function(ctx) { a: std.foldl(function(s, i) s + s, std.range(1, 100), { x: 1 }) }`,
			render.KindLimit,
		},
		{"replacing each letter by all", `function(ctx) { a: std.strReplace(ctx.a, 'x', ctx.a) }`, render.KindLimit},
		{"joining with a long separator", `function(ctx) { a: std.join(ctx.a, std.split(ctx.a, 'x')) }`, render.KindLimit},
		{"splitting", `function(ctx) { a: std.split(std.repeat(ctx.a, 4), 'x') }`, render.KindLimit},
		{"a wide column", `function(ctx) { a: '%1000000000s' % 'x' }`, render.KindLimit},
		{"a wide column, by value", `function(ctx) { a: '%*d' % [1e18, 1] }`, render.KindLimit},
		{"many digits", `function(ctx) { a: '%.1000000000f' % 1.5 }`, render.KindLimit},
		{"many signs of a format", `function(ctx) { a: std.strReplace(ctx.a, 'x', '%%%%%%%%') % [] }`, render.KindLimit},
		{
			"bytes that are no UTF-8, decoded",
			`function(ctx) { a: std.length(std.base64Decode(std.strReplace(ctx.a, 'x', std.repeat('/', 20)))) }`,
			render.KindLimit,
		},
		{
			"a hash of much, again and again",
			`local s = std.repeat('x', 10000000); function(ctx) { a: [std.md5(s) for i in std.range(1, 100)] }`, either,
		},
		{
			"base64 of much, again and again",
			`local s = std.repeat('x', 10000000); function(ctx) { a: [std.base64(s) for i in std.range(1, 100)] }`, either,
		},
		{
			"a function of many levels, in itself",
			`local f(n) = ` + strings.Repeat("if n < 0 then 1 else ", 4_900) + `f(n + 1); function(ctx) { a: f(0) }`,
			render.KindRuntime,
		},
		{
			"a difference of many levels, in itself",
			`local f(n) = ` + strings.Repeat("1 - (", 240) + `f(n + 1)` + strings.Repeat(")", 240) +
				`; function(ctx) { a: f(0) }`,
			render.KindRuntime,
		},
		{"an expression of many levels", `function(ctx) { a: ` + strings.Repeat("true && ", 4_900) + `true }`, fine},
		{"many zeros", `function(ctx) { a: '%01000000000d' % 1 }`, render.KindLimit},
		{
			"a quadratic loop over ctx", `function(ctx) { a: std.length([1 for x in ctx.list for y in ctx.list if false]) }`,
			either,
		},
		{
			"a quadratic search",
			`function(ctx) { a: std.length(std.filter(function(c) std.member(ctx.a + 'z', 'z'), std.stringChars(ctx.a))) }`,
			either,
		},
		{
			"a quadratic search in the same",
			`local n = std.range(1, 300000); function(ctx) { a: std.foldl(function(a, i) std.member(ctx.a, 'z'), n, false) }`,
			either,
		},
		{
			"objectHas on a doubled object",
			`local o = std.foldl(function(s, i) s + s, std.range(1, 20), { x: 1 }); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if std.objectHas(o, 'y')]) }`, either,
		},
		{
			"in super of a doubled object",
			`local o = std.foldl(function(s, i) s + s, std.range(1, 20), { x: 1 }); ` +
				`function(ctx) o { a: std.length([1 for i in std.range(1, 100000) if 'z' in super]) }`, either,
		},
		{
			"the fields of a doubled object",
			`local o = std.foldl(function(s, i) s + s, std.range(1, 20), { x: 1 }); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if std.length(o) == 0]) }`, either,
		},
		{
			"slices of letters beyond ASCII",
			`local s = std.repeat('é', 5000000); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if s[4999990:] == 'x']) }`, either,
		},
		{
			"parts of letters beyond ASCII",
			`local s = std.repeat('é', 5000000); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if std.substr(s, 4999990, 3) == 'x']) }`, either,
		},
		{
			"XML with nothing to escape",
			`local s = std.repeat('e', 10000000); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if std.escapeStringXML(s) == 'x']) }`, either,
		},
		{
			"long beginnings",
			`local s = std.repeat('e', 30000000), v = s + 'x'; ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if !std.startsWith(v, s)]) }`, either,
		},
		{
			"long searches for nothing",
			`local s = std.repeat('e', 10000000); ` +
				`function(ctx) { a: std.length([1 for i in std.range(1, 100000) if std.findSubstr('x', s) == 0]) }`, either,
		},
		{
			"deep JSON in ctx", `function(ctx) { a: std.parseJson(std.repeat('[', 9000) + std.repeat(']', 9000)) }`,
			render.KindRuntime,
		},
		{"deeper JSON in ctx", `function(ctx) { a: std.parseJson(std.repeat('[', 5000000)) }`, render.KindLimit},
		{"YAML of much", `function(ctx) { a: std.manifestYamlDoc(ctx) }`, render.KindLimit},
		{"TOML of much", `function(ctx) { a: std.manifestTomlEx(ctx, ' ') }`, render.KindLimit},
		{"YAML with aliases", `function(ctx) { a: std.length(std.parseYaml(ctx.yaml).b) }`, render.KindLimit},
		{
			"YAML of lines, nested",
			`function(ctx) { a: std.length(std.manifestYamlDoc(std.foldl(function(a, i) { a: a }, std.range(1, 240), ` +
				`std.repeat('\n', 30000)))) }`, render.KindLimit,
		},
		{
			"TOML with a wide indent",
			`function(ctx) { a: std.length(std.manifestTomlEx(std.foldl(function(a, i) { a: a }, std.range(1, 200), ` +
				`{ b: 1 }), std.repeat(' ', 60000))) }`, render.KindLimit,
		},
		{
			"TOML of a long list", `function(ctx) { a: std.length(std.manifestTomlEx({ a: std.repeat([1], 30000) }, ' ')) }`,
			render.KindLimit,
		},
		{
			"TOML of long names",
			`function(ctx) { a: std.length(std.manifestTomlEx({ [std.repeat('x', 30000)]: std.repeat([{}], 9000) }, ' ')) }`,
			render.KindLimit,
		},
		{
			"control letters as the message", `function(ctx) { a: std.repeat(std.repeat('\u0001', 1000), 50000) }`,
			render.KindResult,
		},
		{
			"control letters as a string", `function(ctx) { a: '' + [std.repeat(std.repeat('\u0001', 1000), 50000)] }`,
			render.KindLimit,
		},
		{
			"control letters as JSON", `function(ctx) { a: std.manifestJson(std.repeat(std.repeat('\u0001', 1000), 50000)) }`,
			render.KindLimit,
		},
		{
			"control letters, escaped",
			`function(ctx) { a: std.escapeStringJson(std.repeat(std.repeat('\u0001', 1000), 50000)) }`, render.KindLimit,
		},
		{
			"JSON with a wide indent",
			`function(ctx) { a: std.length(std.manifestJsonEx(std.foldl(function(a, i) { a: a }, std.range(1, 200), ` +
				`1), std.repeat(' ', 1000000))) }`, render.KindLimit,
		},
		{
			"JSON with a wide separator",
			`function(ctx) { a: std.length(std.manifestJsonEx({ ['k' + i]: i for i in std.range(1, 10000) }, '', '', ` +
				`std.repeat(' ', 1000000))) }`, render.KindLimit,
		},
		{
			"JSON of many objects", `function(ctx) { a: std.length(std.parseJson('[' + std.repeat('{"":0},', 600000) + '1]')) }`,
			render.KindLimit,
		},
		{"XML of much", `function(ctx) { a: std.length(std.escapeStringXML(std.repeat('<', 30000000))) }`, render.KindLimit},
		{"a large result", `function(ctx) { a: [ctx.a, ctx.a, ctx.a, ctx.a, ctx.a, ctx.a] }`, render.KindResult},
		{"a large ctx, as it is", `function(ctx) { a: std.length(std.toString(ctx)), b: ctx.a }`, fine},
		{"many matches", `function(ctx) { a: std.length(std.findSubstr('x', ctx.a)) }`, fine},
		{
			"each element of a list in ctx",
			`function(ctx) { a: std.foldl(function(n, i) n + (if ctx.list[i] == null then 1 else 0), std.range(0, 99999), 0) }`,
			fine,
		},
		{
			"letters of a string in ctx",
			`function(ctx) { a: std.foldl(function(n, i) n + (if ctx['é'][i] == 'é' then 1 else 0), std.range(0, 99999), 0) }`,
			fine,
		},
		{"a long sum", `function(ctx) { a: std.foldl(function(s, x) s + 'ab', ctx.list, '') }`, fine},
		{
			"an array built one by one", `function(ctx) { a: std.length(std.foldl(function(s, x) s + [x], ctx.list, [])) }`,
			fine,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := time.Second
			if test.kind == either {
				timeout /= 20 // what nothing else ends needs no longer to show that this does
			}
			template := loadWithTimeout(t, test.source, timeout)
			// Go allows 16 times as much stack before it ends the process.
			defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			_, err := template.Render(t.Context(), ctx)
			took := time.Since(started)
			runtime.ReadMemStats(&after)
			kind := kindOf(err)
			if test.kind == either && (kind == render.KindLimit || kind == render.KindTimeout) {
				kind = either
			}
			if kind != test.kind || err != nil && kind == fine {
				t.Errorf("kind %q: %.200v", kind, err)
			}
			if took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2*render.DefaultMemory {
				t.Errorf("%d MB were allocated", allocated>>20)
			}
		})
	}
}

// TestNestingLoads compiles what takes for ever where a level is compiled more than once.
func TestNestingLoads(t *testing.T) {
	for name, levels := range map[string][3]string{
		"sums":         {"'a' + (", "'x'", ")"},
		"conditionals": {"'a' + (if ctx.x then 'b' else ", "'x'", ")"},
		"objects":      {"ctx { a+: ", "{}", "}"},
		"or":           {"(ctx.x || ", "true", ")"},
		"calls":        {"std.length(", "'x'", ")"},
		"locals":       {"local a = (", "1", "); a"},
	} {
		t.Run(name, func(t *testing.T) {
			const depth = 100
			source := strings.Repeat(levels[0], depth) + levels[1] + strings.Repeat(levels[2], depth)
			loadWithTimeout(t, "function(ctx) { a: "+source+" }", time.Second)
		})
	}
}

func TestTimeout(t *testing.T) {
	_, err := loadWithTimeout(t, endless, time.Millisecond).Render(t.Context(), map[string]any{})
	if kindOf(err) != render.KindTimeout || !strings.HasSuffix(err.Error(), "the evaluation took longer than 1ms") {
		t.Errorf("got %v", err)
	}
}

func TestEvaluationEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := loadWithTimeout(t, endless, time.Minute).Render(ctx, map[string]any{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestWaitingEndsWithTheContext keeps all turns taken while other callers wait for one.
func TestWaitingEndsWithTheContext(t *testing.T) {
	template := loadWithTimeout(t, endless, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	const callers = 100
	ends := make(chan error, callers)
	for range callers {
		go func() {
			_, err := template.Render(ctx, map[string]any{})
			ends <- err
		}()
	}
	cancel()
	for range callers {
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// TestMemoryIsSet bounds an evaluation by the options, and says which option it was.
func TestMemoryIsSet(t *testing.T) {
	source := "function(ctx) { a: std.length([x * 2 for x in std.range(1, 500000)]) }"
	for memory, fails := range map[int]bool{5_000_000: true, 200_000_000: false} {
		file := filepath.Join(t.TempDir(), "t.jsonnet")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		template, err := render.Load(file, render.Options{Timeout: time.Minute, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		_, err = template.Render(t.Context(), map[string]any{})
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), "allocates more than render_memory, 5 MB") {
			t.Errorf("with %d: %v", memory, err)
		}
	}
}
