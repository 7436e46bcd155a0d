package vm_test

import (
	"fmt"
	"strings"
)

// generator makes a program of bytes: a fuzzer that changes them changes the program. It makes none that
// go-jsonnet dies of, such as loops of many turns with tailstrict.
type generator struct {
	data  []byte
	depth int
	names map[string][]string // in scope, by kind
	count int
}

func (g *generator) pick(n int) int {
	if len(g.data) == 0 {
		return 0
	}
	b := g.data[0]
	g.data = g.data[1:]
	return int(b) % n
}

func (g *generator) one(of ...string) string { return of[g.pick(len(of))] }

var kinds = []string{"number", "string", "boolean", "array", "object", "null", "function"}

// program is a function of ctx.
func (g *generator) program() string {
	g.names = map[string][]string{
		"object": {"ctx"}, "string": {"ctx.name", "ctx.html"}, "number": {"ctx.n"}, "array": {"ctx.list"},
	}
	return "function(ctx)\n" + g.expression(kinds[g.pick(5)])
}

// expression makes one of a kind, or rarely of another.
func (g *generator) expression(kind string) string {
	if g.pick(24) == 23 {
		kind = kinds[g.pick(len(kinds))]
	}
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > 7 || len(g.data) == 0 {
		return g.leaf(kind)
	}
	switch g.pick(10) {
	case 0:
		return g.leaf(kind)
	case 1:
		return fmt.Sprintf("(if %s then %s else %s)", g.expression("boolean"), g.expression(kind), g.expression(kind))
	case 2:
		return g.local(kind)
	case 3:
		return g.call(kind)
	}
	return g.operation(kind)
}

func (g *generator) leaf(kind string) string {
	if names := g.names[kind]; len(names) > 0 && g.pick(2) == 1 {
		return names[g.pick(len(names))]
	}
	switch kind {
	case "number":
		return g.one("0", "1", "2", "3", "-1", "0.5", "7", "10", "16", "255", "-2.75", "1e3", "123456.789", "1e-5", "3.14159",
			"65", "1e17", "0.1")
	case "string":
		return g.one(`""`, `"a"`, `"b"`, `"hello"`, `"<b>&\"'"`, `"Zoë"`, `"漢字😀"`, `"x,y,z"`, `" pad\n"`, `"%s"`,
			`"\u0000\u001f\u007f\u0085\u2028"`, `"a"`, `"12"`, `"[1, {\"a\": null}]"`, `"AbC"`, `"YWJj"`)
	case "boolean":
		return g.one("true", "false")
	case "array":
		return g.one("[]", "[1, 2, 3]", `["a", "b"]`, "[[1], [2]]", "[null, 1]", "[true, false]", `[{ a: 1 }, { a: 2 }]`)
	case "object":
		return g.one("{}", "{ a: 1 }", "{ a: 1, b:: 2 }", "{ a: self.b, b: 3 }", `{ 'x y': "s", a: [] }`,
			"{ assert self.a > 0 : 'small', a: 1 }")
	case "function":
		return g.one("function(x) x", "function(x) [x]", "function(x, y=2) x + y", "std.length", "std.toString",
			"function(a, b) a + b", "function() 1", "function(x) x == 1", "function(x) error 'called'")
	}
	return "null"
}

func (g *generator) local(kind string) string {
	g.count++
	name, of := fmt.Sprintf("v%d", g.count), kinds[g.pick(len(kinds))]
	value := g.expression(of)
	if g.pick(6) == 5 {
		value = fmt.Sprintf("error %s", g.expression("string"))
	}
	known := g.names[of]
	g.names[of] = append(known[:len(known):len(known)], name)
	body := g.expression(kind)
	g.names[of] = known
	return fmt.Sprintf("(local %s = %s; %s)", name, value, body)
}

// call calls a function that is written here.
func (g *generator) call(kind string) string {
	g.count++
	name, of := fmt.Sprintf("p%d", g.count), kinds[g.pick(len(kinds))]
	known := g.names[of]
	g.names[of] = append(known[:len(known):len(known)], name)
	body := g.expression(kind)
	g.names[of] = known
	argument := g.expression(of)
	parameters := g.one(name, name+", d=1", name+"=0", "")
	strict := g.one("", "", "", " tailstrict")
	if g.pick(4) == 3 {
		argument = name + "=" + argument
	}
	if parameters == "" {
		return fmt.Sprintf("(local f(%s) = %s; f(%s)%s)", name, body, argument, strict)
	}
	return fmt.Sprintf("(function(%s) %s)(%s)%s", parameters, body, argument, strict)
}

func (g *generator) operation(kind string) string {
	switch kind {
	case "number":
		return g.fill(g.one("(%n + %n)", "(%n - %n)", "(%n * %n)", "(%n / %n)", "(%n %% %n)", "(-%n)", "(~%n)", "(%n << 3)",
			"(%n >> 1)", "(%n & %n)", "(%n | %n)", "(%n ^ %n)",
			"(%a)[%n]", "(%o).a", "std.length(%a)", "std.length(%s)", "std.length(%o)", "std.abs(%n)", "std.max(%n, %n)",
			"std.min(%n, %n)", "std.floor(%n)", "std.round(%n)", "std.pow(%n, 2)",
			"std.sqrt(%n)", "std.sign(%n)", "std.clamp(%n, 0, 5)", "std.codepoint(%s)", "std.parseInt(%s)", "std.parseHex(%s)",
			"std.sum(%a)", "std.avg(%a)", "std.count(%a, %x)",
			"std.foldl(function(a, b) a + b, %a, %n)", "std.foldr(function(a, b) a - b, %a, %n)", "std.minArray(%a)",
			"std.maxArray(%a, %f)", "std.log(%n)", "std.mantissa(%n)", "std.exponent(%n)", "std.exp(%n)", "std.hypot(%n, %n)"))
	case "string":
		return g.text()
	case "boolean":
		return g.fill(g.one("(%x == %x)", "(%x != %x)", "(%n < %n)", "(%s <= %s)", "(%a > %a)", "(%n >= %n)", "(%b && %b)",
			"(%b || %b)", "(!%b)", "('a' in %o)", "(%s in %o)",
			"std.objectHas(%o, %s)", "std.objectHasAll(%o, 'b')", "std.isString(%x)", "std.isNumber(%x)", "std.isArray(%x)",
			"std.isObject(%x)", "std.isFunction(%x)", "std.isBoolean(%x)", "std.isNull(%x)",
			"std.member(%a, %x)", "std.member(%s, %s)", "std.contains(%a, %x)", "std.startsWith(%s, %s)", "std.endsWith(%s, %s)",
			"std.isEmpty(%s)", "std.equalsIgnoreCase(%s, %s)", "std.all(%a)", "std.any(%a)",
			"std.xor(%b, %b)", "std.isEven(%n)", "std.isInteger(%n)", "std.setMember(%x, %a)", "std.assertEqual(%x, %x)",
			"std.primitiveEquals(%n, %x)", "std.equals(%x, %x)"))
	case "array":
		return g.list()
	case "object":
		return g.object()
	case "function":
		return g.fill(g.one("function(x) %x", "(local n = %n; function(x, y=n) x)", "function(x) std.toString(x)",
			"function(x) x.a", "function(x) -x", "std.asciiUpper"))
	}
	return g.fill(g.one("null", "std.get(%o, 'zz')", "std.trace(%s, null)"))
}

func (g *generator) text() string {
	if g.pick(3) == 0 {
		return g.format()
	}
	return g.fill(g.one("(%s + %x)", "(%x + %s)", "(%s + %s + %s)", "(%s)[%n]", "(%s)[1:]", "(%s)[:2]", "(%s)[0:3:2]",
		"(%s)[-2:]", "(%s)[%n:]", "(%o)['x y']", "std.toString(%x)", "std.join(%s, %a)", "std.join(', ', [%s, %s, null])",
		"std.substr(%s, %n, %n)", "std.asciiUpper(%s)", "std.asciiLower(%s)", "std.escapeStringXML(%x)",
		"std.escapeStringJson(%x)", "std.escapeStringBash(%s)", "std.escapeStringDollars(%s)", "std.escapeStringPython(%s)",
		"std.strReplace(%s, %s, %s)", "std.strReplace(%s, 'a', 'bb')", "std.trim(%s)", "std.stripChars(%s, %s)",
		"std.lstripChars(%s, ' a')", "std.rstripChars(%s, ['b', 'o'])", "std.char(%n)", "std.type(%x)",
		"std.repeat(%s, 3)", "std.lines(%a)", "std.manifestJson(%x)", "std.manifestJsonMinified(%x)",
		"std.manifestJsonEx(%x, %s)", "std.manifestJsonEx(%x, ' ', '', '=')", "std.base64(%s)", "std.base64(%a)",
		"std.base64Decode(%s)",
		"std.md5(%s)", "std.sha1(%s)", "std.manifestPython(%x)", "std.manifestYamlDoc(std.parseJson(std.manifestJson(%o)))",
		"std.deepJoin(%a)", "std.decodeUTF8(std.encodeUTF8(%s))", "std.resolvePath(%s, %s)",
		"std.flatMap(function(c) c + c, %s)",
		"std.foldl(function(a, b) a + b, %s, '')", "std.foldl(function(a, b) b + a, %a, %s)",
		"|||\n  block %%(a)s\n||| %% %o", "std.get(%o, 'a', %s)", "std.join('', std.map(function(c) c, %s))"))
}

// format makes a use of %, mostly one that fits.
func (g *generator) format() string {
	conversion := func(key string) string {
		return "%" + key + g.one("", "", "-", "0", "+", " ", "#", "0-", "#0") + g.one("", "", "", "3", "8", "12") +
			g.one("", "", "", ".0", ".2", ".4", ".") +
			g.one("s", "s", "d", "d", "f", "x", "X", "o", "e", "E", "g", "G", "c", "i", "%", "q")
	}
	switch g.pick(4) {
	case 0:
		return fmt.Sprintf("(%q %% %s)", "a "+conversion("")+" z", g.expression(kinds[g.pick(3)]))
	case 1:
		return fmt.Sprintf("(%q %% [%s, %s])", conversion("")+"|"+conversion(""), g.expression(kinds[g.pick(2)]),
			g.expression(kinds[g.pick(3)]))
	case 2:
		return fmt.Sprintf("(%q %% %s)", conversion("(a)")+"é"+g.one("", conversion("(b)"), "%%"), g.expression("object"))
	}
	return fmt.Sprintf("std.format(%q, [%s, %s, %s])",
		g.one("%*d", "%*.*f", "%-*s", "%.*f", "%s", "%s%s%s%s", "%", "%5", "%(", "%(a)s")+"!", g.expression("number"),
		g.expression("number"), g.expression(kinds[g.pick(3)]))
}

func (g *generator) list() string {
	return g.fill(g.one("[%x, %x]", "(%a + %a)", "[%x for i in %a]", "[i for i in %a if %b]",
		"[[i, j] for i in %a for j in [1, %x]]", "(%a)[1:]", "(%a)[:-1]", "(%a)[::2]", "(%a)[%n:%n]", "std.map(%f, %a)",
		"std.filter(function(x) %b, %a)", "std.filter(%f, %a)",
		"std.range(std.max(-9, %n), 6)", "std.makeArray(3, %f)", "std.reverse(%a)", "std.sort(%a)",
		"std.sort(%a, function(x) -x)", "std.uniq(%a)", "std.set(%a)", "std.setUnion(std.set(%a), std.set(%a))",
		"std.setInter(%a, %a)", "std.setDiff(%a, %a)",
		"std.flattenArrays(%a)", "std.flattenArrays([%a, %a])", "std.flatMap(function(x) [x, x], %a)", "std.flatMap(%f, %a)",
		"std.split(%s, ',')", "std.split(%s, %s)", "std.splitLimit(%s, ',', 1)", "std.splitLimitR(%s, ',', 1)",
		"std.stringChars(%s)", "std.encodeUTF8(%s)", "std.findSubstr(%s, %s)", "std.find(%x, %a)", "std.objectFields(%o)",
		"std.objectFieldsAll(%o)", "std.objectValues(%o)", "std.objectKeysValues(%o)",
		"std.mapWithIndex(function(i, x) [i, x], %a)",
		"std.join([0], [%a, %a])", "std.prune(%a)", "std.repeat(%a, 2)", "std.remove(%a, %x)",
		"std.filterMap(function(x) true, %f, %a)", "std.flattenDeepArray(%a)", "std.base64DecodeBytes(%s)",
		"std.slice(%a, 0, %n, 1)", "std.foldl(function(a, x) a + [x], %a, [])"))
}

func (g *generator) object() string {
	return g.fill(g.one("{ a: %x, b: %x }", "{ a: %x, b:: self.a, c: $.b }", "(%o + %o)", "(%o + { a+: %x })",
		"(%o { c: super.a })", "{ [%s]: %x }", "{ [if %b then 'a']: 1 }", "{ [k]: %x for k in %a }",
		"{ ['k' + k]: k for k in %a if %b }",
		"{ local x = %x, a: x, b: [x] }", "{ a: { b: $.c }, c: %x }", "{ assert %b, a: 1 }",
		"{ assert self.a != 1 : %s, a: %n }", "std.mergePatch(%o, %o)", "std.prune(%o)",
		"std.mapWithKey(function(k, v) [k, v], %o)",
		"std.objectRemoveKey(%o, 'a')", "(std.objectRemoveKey(%o, 'a') + { b: 1 })", "std.parseJson(%s)",
		"std.parseJson(std.manifestJson(%o))", "{ a::: %x, b:: 1 }", "({ b:: 1 } + { b: %x })",
		"(%o + { d: 'a' in super, a: if self.d then super.a else 0 })",
		"{ f(x):: %x, a: self.f(1) }", "std.parseYaml('a: 1')", "{ a: %x, b: self.zz }", "(local o = %o; o { x: o })"))
}

// fill puts an expression in for each %n, %s, %b, %a, %o, %f and %x.
func (g *generator) fill(pattern string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(pattern, "%")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		switch kind := strings.IndexByte("nsbao.f", after[0]); {
		case after[0] == '%':
			out.WriteByte('%')
		case kind >= 0:
			out.WriteString(g.expression(kinds[kind]))
		default:
			out.WriteString(g.expression(kinds[g.pick(len(kinds))]))
		}
		pattern = after[1:]
	}
}
