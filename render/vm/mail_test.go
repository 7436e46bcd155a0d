package vm_test

import (
	"encoding/json"
	"reflect"
	"sync"
	"testing"
)

// mail is a template as people write them, with a library.
var mail = files{
	mainFile: `local lib = import 'lib.libsonnet';
local raw = importstr 'lib.libsonnet';
function(ctx)
  local traits = ctx.identity.traits;
  local name = std.get(traits, 'name', {});
  local full = std.join(' ', [p for p in [std.get(name, 'first', ''), std.get(name, 'last', '')] if p != '']);
  local items = std.get(std.get(ctx, 'flow', {}), 'items', []);
  if std.get(ctx, 'cancel', false) then error 'cancel' else
  {
    message: {
      subject: 'Welcome%s to %s!' % [if full == '' then '' else ', ' + full, lib.brand.name],
      to: [{ email: traits.email, [if full != '' then 'name']: full, type: 'to' }],
      html: lib.layout('Hi ' + full, lib.list(items)),
      text: std.lines(['%-10s|%8.2f' % [i.name, i.price] for i in items]),
      tags: ['welcome'] + (if std.objectHas(traits, 'plan') then ['plan-' + traits.plan] else []),
      metadata: { id: ctx.identity.id, size: std.length(raw),
        total: std.foldl(function(sum, i) sum + i.price * i.qty, items, 0) },
      merge_vars: [{ rcpt: traits.email, vars: [{ name: std.asciiUpper(k), content: traits[k] }
        for k in std.objectFields(traits)] }],
      headers: lib.headers { 'X-Id'+: ctx.identity.id },
    },
  }
`,
	"lib.libsonnet": `local esc(s) = std.escapeStringXML(s);
{
  brand:: { name: 'Club', url: 'https://example.org', assert std.length(self.name) > 0 },
  headers: { 'X-Id': 'id-', 'Reply-To': $.brand.url },
  list(items):: '<ul>' + std.join('', ['<li>%d x %s</li>' % [i.qty, esc(i.name)] for i in items]) + '</ul>',
  layout(title, body):: |||
    <title>%(title)s</title>
    <p style="width:100%%">%(body)s</p>
  ||| % { title: esc(title), body: body },
}
`,
}

// FuzzCtx compares what a mail comes to over any ctx, and how it fails.
func FuzzCtx(f *testing.F) {
	for _, seed := range []string{
		`{"identity":{"id":"1","traits":{"email":"a@b.c","name":{"first":"Ada <b>","last":"L"},"plan":"pro"}},` +
			`"flow":{"items":[{"qty":2,"name":"é&","price":19.99}]}}`,
		`{"identity":{"id":"1","traits":{"email":"a@b.c"}}}`, `{"identity":{"traits":{}}}`,
		`{"cancel":true,"identity":{"traits":{}}}`, `{"cancel":"yes","identity":{"traits":[]}}`, `{}`,
		`{"identity":{"id":null,"traits":{"email":1,"name":{"first":null,"last":[]},"plan":{}}},` +
			`"flow":{"items":[{"qty":"2","name":{"a":[1.5,true,null]},"price":1e300}]}}`,
		`{"identity":{"id":"1","traits":{"email":"a"}},"flow":{"items":"no"}}`,
		`{"identity":{"id":"1","traits":{"email":"a","name":"x"}},"flow":{"items":[1]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var ctx map[string]any
		if json.Unmarshal(body, &ctx) != nil || ctx == nil {
			t.Skip()
		}
		mail.agree(t, ctx)
	})
}

// TestParallel runs one program in several goroutines: what they share must not change.
func TestParallel(t *testing.T) {
	program := files{mainFile: `local s = 'Zoë 漢字'; local lib = { a: s[1], b: std.reverse([s, 'é']), c(x):: x + s,
  thunk: std.map(function(c) c + s, s) };
function(ctx) { a: lib.a, b: lib.b, c: lib.c(ctx), d: std.format('%s %5.1f', [s, 1]), e: lib.thunk,
  f: s[ctx % 3:], g: std.set(std.stringChars(s)), h: std.manifestYamlDoc({ a: s }), i: std.base64(std.md5(s)) }`}
	want := program.ours(t, 5.0)
	if want.message != "" {
		t.Fatal(want.message)
	}
	var callers sync.WaitGroup
	compiled := program.compile(t)
	for range 8 {
		callers.Go(func() {
			for range 20 {
				if got := program.run(t, compiled, 5.0); !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v", got)
					return
				}
			}
		})
	}
	callers.Wait()
}
