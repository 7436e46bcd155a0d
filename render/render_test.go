package render_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-jsonnet"
	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a folder of the files, by their names.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func load(t testing.TB, source string) *render.Template {
	t.Helper()
	template, err := render.Load(filepath.Join(write(t, map[string]string{"t.jsonnet": source}), "t.jsonnet"),
		render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func decode(t testing.TB, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("decoding %q: %v", data, err)
	}
	return value
}

// plainly is what is left of a message on its way as JSON.
func plainly(t testing.TB, message map[string]any) any {
	t.Helper()
	encoded, err := json.Marshal(message)
	if err != nil {
		t.Fatalf("encoding %v: %v", message, err)
	}
	return decode(t, encoded)
}

func TestRender(t *testing.T) {
	for _, test := range []struct {
		name, source string
		want         map[string]any
	}{
		{"ctx", `function(ctx) { a: ctx.name }`, map[string]any{"a": "Ada"}},
		{"local before the function", `local x = 1; function(ctx) { a: x }`, map[string]any{"a": 1.0}},
		{
			"object function as in Ory's documentation", "function(ctx) {\nlocal n = ctx.name,\na: n\n}", map[string]any{
				"a": "Ada",
			},
		},
		{"parameter with a default", `function(ctx, greeting='Hi') { a: greeting }`, map[string]any{"a": "Hi"}},
		{
			"function from elsewhere", `local make(x) = function(ctx) { a: x + ctx.name }; make('Hi ')`, map[string]any{
				"a": "Hi Ada",
			},
		},
		{"trace is not printed", `function(ctx) std.trace(ctx.name, { a: 1 })`, map[string]any{"a": 1.0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := load(t, test.source).Render(t.Context(), map[string]any{"name": "Ada"})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(plainly(t, got), any(test.want)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRenderCancels(t *testing.T) {
	for _, source := range []string{
		`function(ctx) error 'cancel'`,
		`function(ctx) error 'cancel: a test account'`,
		`function(ctx) error 'cancelled'`,
		`function(ctx) assert ctx.name != 'Ada' : 'cancel: not Ada'; {}`,
		`function(ctx) { a: if ctx.name == 'Ada' then error 'cancel' else 1 }`,
		`function(ctx) null`,
	} {
		_, err := load(t, source).Render(t.Context(), map[string]any{"name": "Ada"})
		if !errors.Is(err, render.ErrCancelled) {
			t.Errorf("%s: got %v", source, err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, test := range []struct {
		name, source string
		kind         render.Kind
		line         int
		want         string
	}{
		{"syntax", "function(ctx) {\n  a: ctx.\n}", render.KindSyntax, 3, "Expected token"},
		{"unknown variable", "function(ctx) {\n  a: nme }", render.KindSyntax, 2, "Unknown variable: nme"},
		{"object", "\n{ a: 1 }", render.KindSyntax, 2, "must be a function"},
		{"string", "'x'", render.KindSyntax, 1, "must be a function"},
		{"array", "local x = 1;\n[x]", render.KindSyntax, 2, "must be a function"},
		{"other parameter", "function(context) {}", render.KindSyntax, 1, "nothing gives it the parameter context"},
		{"two parameters", "function(ctx, more) {}", render.KindSyntax, 1, "nothing gives it the parameter more"},
		{"no parameter", "function() {}", render.KindSyntax, 1, "has no parameter of that name"},
		{"absolute import", "function(ctx) {\n a: import '/etc/passwd' }", render.KindImport, 2, "must be relative"},
		{"absolute importstr", "function(ctx) {\n a: importstr '/etc/passwd' }", render.KindImport, 2, "must be relative"},
		{"absolute importbin", "function(ctx) {\n a: importbin '/etc/passwd' }", render.KindImport, 2, "must be relative"},
		{"import from above", "function(ctx) import '../x.libsonnet'", render.KindImport, 1, "leaves the folder"},
		{
			"import from above by a detour", "function(ctx) import 'lib/../../x.libsonnet'", render.KindImport, 1,
			"leaves the folder",
		},
		{"missing import", "function(ctx)\n\n  import 'missing.libsonnet'", render.KindImport, 3, "no such file"},
		{"import of a folder", "function(ctx) importstr '.'", render.KindImport, 1, "not a regular file"},
		{
			"unused import that is missing", "local x = import 'missing.libsonnet';\nfunction(ctx) {}", render.KindImport, 1,
			"no such file",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(write(t, map[string]string{"t.jsonnet": test.source}), "t.jsonnet")
			_, err := render.Load(file, render.Options{})
			var got *render.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Kind != test.kind || got.File != file || got.Line != test.line || !strings.Contains(got.Message, test.want) {
				t.Errorf("kind %s: %v", got.Kind, got)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := render.Load("nowhere/t.jsonnet", render.Options{})
	if err == nil || err.Error() != "nowhere/t.jsonnet: no such file" {
		t.Errorf("got %v", err)
	}
}

func TestImports(t *testing.T) {
	folder := write(t, map[string]string{
		"mail/t.jsonnet": `local a = import 'lib/a.libsonnet'; function(ctx) { a: a, s: importstr 'text.txt', ` +
			`shared: import 'shared.libsonnet' }`,
		"mail/lib/a.libsonnet":        `{ b: import 'b.libsonnet', up: import '../c.libsonnet', me:: import 'a.libsonnet' }`,
		"mail/lib/b.libsonnet":        `'b'`,
		"mail/c.libsonnet":            `'c'`,
		"mail/text.txt":               "%(x)s",
		"shared/shared.libsonnet":     `import 'below/more.libsonnet'`,
		"shared/below/more.libsonnet": `import '../more.libsonnet'`,
		"shared/more.libsonnet":       `'more'`,
	})
	template, err := render.Load(filepath.Join(folder, "mail", "t.jsonnet"), render.Options{
		Imports: []string{filepath.Join(folder, "shared")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Render(t.Context(), map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": map[string]any{"b": "b", "up": "c"}, "s": "%(x)s", "shared": "more"}
	if !reflect.DeepEqual(plainly(t, got), any(want)) {
		t.Errorf("got %v", got)
	}
}

func TestLinks(t *testing.T) {
	outside := write(t, map[string]string{
		"secret.libsonnet": `'secret'`, "t.jsonnet": `function(ctx) { a: import 'a.libsonnet' }`,
	})
	folder := write(t, map[string]string{
		"a.libsonnet":         `'a'`,
		"..v1/inside.jsonnet": `function(ctx) { a: import 'a.libsonnet' }`,
		"escapes.jsonnet":     `function(ctx) { a: import 'escape.libsonnet' }`,
	})
	for name, target := range map[string]string{
		"escape.libsonnet": filepath.Join(outside, "secret.libsonnet"),
		"..data":           "..v1",
		"inside.jsonnet":   "..data/inside.jsonnet",
		"t.jsonnet":        filepath.Join(outside, "t.jsonnet"),
	} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"inside.jsonnet", "t.jsonnet"} {
		if _, err := render.Load(filepath.Join(folder, name), render.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := render.Load(filepath.Join(folder, "escapes.jsonnet"), render.Options{})
	if err == nil || !strings.Contains(err.Error(), "escape.libsonnet") {
		t.Errorf("a link out of the folder gives %v", err)
	}
}

func TestRuntimeErrors(t *testing.T) {
	for _, test := range []struct {
		name, source string
		kind         render.Kind
		line         int
		full, safe   string
	}{
		{"literal", "function(ctx) {\n a: error 'no name' }", render.KindRuntime, 2, "no name", "no name"},
		{"with data", "function(ctx) {\n a: error 'bad ' + ctx.name }", render.KindRuntime, 2, "bad s3cret", "runtime error"},
		{
			"data that looks like the interpreter", "function(ctx) error ctx.fake", render.KindRuntime, 1,
			"Field does not exist: s3cret", "runtime error",
		},
		{
			"missing field", "function(ctx) {\n\n a: ctx.emial }", render.KindRuntime, 3, "Field does not exist: emial",
			"Field does not exist: emial",
		},
		{
			"missing field named by data", "function(ctx) { a: ctx[ctx.name] }", render.KindRuntime, 1, "s3cret",
			"runtime error",
		},
		{
			"wrong type", "function(ctx) {\n a: 1 + ctx }", render.KindRuntime, 2, "Unexpected type object",
			"Unexpected type object",
		},
		{
			"broken format", "function(ctx) {\n a: '%d %' % 1 }", render.KindRuntime, 2, "Truncated format code.",
			"Truncated format code.",
		},
		{
			"too few values", "function(ctx) { a: '%s %s' % ctx.name }", render.KindRuntime, 1, "Not enough values to format: 1",
			"Not enough values to format: 1, expected more than 1",
		},
		{
			"format of another type", "function(ctx) { a: '%(price)d' % { price: ctx.name } }", render.KindRuntime, 1,
			"Format required number at price, got string", "Format required number at price",
		},
		{
			"format of another type, named by data", "function(ctx) { a: ('%(' + ctx.name + ')d') % { [ctx.name]: 'x' } }",
			render.KindRuntime, 1, "Format required number at s3cret", "runtime error",
		},
		{
			"beyond the bounds", "function(ctx) {\n a: std.repeat(ctx.name, 1e9) }", render.KindLimit, 2,
			"more than render_memory, 128 MB", "more than render_memory, 128 MB",
		},
		{"parsing data", "function(ctx) std.parseJson(ctx.name)", render.KindRuntime, 1, "", "runtime error"},
		{
			"endless recursion", "local f(x) = f(x) + 1; function(ctx) { a: f(1) }", render.KindRuntime, 1,
			"max stack frames exceeded", "max stack frames exceeded",
		},
		{
			"self reference", "function(ctx) { a: self.a }", render.KindRuntime, 1, "max stack frames exceeded",
			"max stack frames exceeded",
		},
		{"string", "function(ctx) 'x'", render.KindResult, 0, "returned a string", "returned a string"},
		{"array", "function(ctx) [ctx]", render.KindResult, 0, "returned an array", "returned an array"},
		{"number", "function(ctx) 1", render.KindResult, 0, "returned a number", "returned a number"},
		{"boolean", "function(ctx) true", render.KindResult, 0, "returned a boolean", "returned a boolean"},
		{
			"function", "function(ctx) function(x) x", render.KindRuntime, 0, "couldn't manifest function",
			"couldn't manifest function",
		},
		{"unknown native", "function(ctx) std.native('x')()", render.KindRuntime, 1, "", ""},
		{
			"external variable", "function(ctx) { a: std.extVar('x') }", render.KindRuntime, 1, "Undefined external variable",
			"",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			template := load(t, test.source)
			_, err := template.Render(t.Context(), map[string]any{"name": "s3cret", "fake": "Field does not exist: s3cret"})
			var got *render.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Kind != test.kind || got.Line != test.line || !strings.Contains(got.Error(), test.full) ||
				!strings.Contains(got.Safe(), test.safe) {
				t.Errorf("kind %s: %v; safe: %s", got.Kind, got, got.Safe())
			}
			if strings.Contains(got.Safe(), "s3cret") {
				t.Errorf("data in %q", got.Safe())
			}
		})
	}
}

// TestCtxIsData hands over what would be dangerous as code.
func TestCtxIsData(t *testing.T) {
	template := load(t, `function(ctx) { out: ctx }`)
	for _, text := range []string{
		`{"a":"import '/etc/passwd'"}`, `{"a":"std.range(1,1e9)","b":"%(x)s %d ${x} *|X|* {{x}}"}`,
		`{"std":1,"self":2,"__proto__":3,"$":4,"":5}`,
		`{"a":"\u0000\ud800\u2028\"'\\|||"}`, `{"a":[null,true,-0.5,1e300,{}]}`, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
		`{"a":` + strings.Repeat("[", 250) + strings.Repeat("]", 250) + `}`,
	} {
		data := decode(t, []byte(text))
		got, err := template.Render(t.Context(), data)
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(plainly(t, got), any(map[string]any{"out": data})) {
			t.Errorf("%.60s: changed to %.60s", text, got)
		}
	}
}

func TestCtxTooDeep(t *testing.T) {
	var data any = map[string]any{}
	for range render.MaxDepth + 1 {
		data = []any{data}
	}
	_, err := load(t, `function(ctx) {}`).Render(t.Context(), map[string]any{"a": data})
	var got *render.Error
	if !errors.As(err, &got) || got.Kind != render.KindCtx {
		t.Errorf("got %v", err)
	}
}

func TestOutputTooLarge(t *testing.T) {
	_, err := loadWithTimeout(t, `function(ctx) { a: std.join('', [ctx.a for i in std.range(1, 6)]) }`, time.Minute).
		Render(t.Context(), map[string]any{"a": strings.Repeat("x", 1<<20)})
	var got *render.Error
	if !errors.As(err, &got) || got.Kind != render.KindResult {
		t.Errorf("got %v", err)
	}
}

// TestParallel shares machines between callers; each must see its own ctx.
func TestParallel(t *testing.T) {
	template := load(t, `local lib = { twice(s):: s + s }; function(ctx) { n: ctx.n, s: lib.twice(ctx.s) }`)
	var callers sync.WaitGroup
	for n := range 8 {
		callers.Go(func() {
			for i := range 50 {
				s := strings.Repeat(string(rune('a'+n)), i)
				got, err := template.Render(t.Context(), map[string]any{"n": float64(n), "s": s})
				if err != nil {
					t.Error(err)
					return
				}
				if !reflect.DeepEqual(plainly(t, got), any(map[string]any{"n": float64(n), "s": s + s})) {
					t.Errorf("caller %d got %v", n, got)
				}
			}
		})
	}
	callers.Wait()
}

// TestSameAsPlainJsonnet compares with the interpreter as Ory runs it.
func TestSameAsPlainJsonnet(t *testing.T) {
	ctx, err := os.ReadFile("../../shared/bench/ctx.json")
	if err != nil {
		t.Skip("the templates that speed is measured with are not here")
	}
	files, err := filepath.Glob("../../shared/bench/*.jsonnet")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d templates, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			template, err := render.Load(file, render.Options{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			got, err := template.Render(t.Context(), decode(t, ctx))
			if err != nil {
				t.Fatal(err)
			}
			vm := jsonnet.MakeVM()
			vm.TLACode("ctx", string(ctx))
			want, err := vm.EvaluateFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(plainly(t, got), decode(t, []byte(want))) {
				t.Errorf("got %v\nwant %s", got, want)
			}
		})
	}
}

func FuzzCtx(f *testing.F) {
	template := load(f, `function(ctx) { out: ctx, keys: std.objectFields(ctx), s: std.toString(ctx) }`)
	for _, seed := range []string{`{}`, `{"a":"\ud800","b":[1.5,{"c":null}]}`, `{"":1e-300,"std":"import 'x'"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var data map[string]any
		if json.Unmarshal(body, &data) != nil || data == nil {
			t.Skip()
		}
		got, err := template.Render(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		vm := jsonnet.MakeVM()
		vm.TLACode("ctx", string(encoded))
		want, err := vm.EvaluateAnonymousSnippet("plain",
			`function(ctx) { out: ctx, keys: std.objectFields(ctx), s: std.toString(ctx) }`)
		if err != nil {
			t.Skip("plain Jsonnet reads it as code and can't")
		}
		if !reflect.DeepEqual(plainly(t, got), decode(t, []byte(want))) {
			t.Errorf("got %v\nwant %s", got, want)
		}
	})
}
