package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// folder has templates that somebody writes.
type folder struct {
	t    *testing.T
	path string
}

func newFolder(t *testing.T, files map[string]string) folder {
	t.Helper()
	f := folder{t, t.TempDir()}
	for name, text := range files {
		f.save(name, text)
	}
	return f
}

func (f folder) save(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// preview starts the command, and returns the address that it prints.
func preview(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.Command(binary, append([]string{"mailchimp", "preview", "--port", "0"}, args...)...)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		if err := command.Wait(); err != nil {
			t.Errorf("the command ended with %v", err)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, found := strings.Cut(strings.TrimSpace(line), " are at ")
	if !found {
		t.Fatalf("the command says %q", line)
	}
	return address
}

const greeting = `local shared = import 'shared.libsonnet';
function(ctx) {
  message: {
    from_email: 'hello@example.com',
    to: [{ email: ctx.identity.traits.email }],
    subject: shared.hello + ' ' + ctx.identity.traits.name,
    html: '<p>' + std.escapeStringXML(ctx.identity.traits.name) + '</p>',
    text: 'Hi',
  },
}
`

func greetings(t *testing.T) folder {
	return newFolder(t, map[string]string{
		"greeting.jsonnet":         greeting,
		"shared.libsonnet":         `{ hello: 'Hello' }`,
		"greeting.ctx.json":        `{"identity":{"traits":{"email":"ada@example.net","name":"Ada"}}}`,
		"greeting.german.ctx.json": `{"identity":{"traits":{"email":"bo@example.net","name":"Jürgen"}}}`,
		"cancel.jsonnet":           `function(ctx) error 'cancel'`,
	})
}

func TestPreviewRedraws(t *testing.T) {
	f := greetings(t)
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('h2')?.textContent === 'Hello Ada'`)
	evaluate[bool](b, `window.sameDocument = true`)
	// redraws says that what was just saved is drawn within a second. The machine may be slow, and then the
	// second is long.
	redraws := func(what, subject string) {
		t.Helper()
		saved := time.Now()
		b.until(`sameDocument && document.querySelector('h2')?.textContent === '` + subject + `'`)
		t.Logf("%s is drawn after %s", what, time.Since(saved).Round(10*time.Millisecond))
	}
	f.save("greeting.jsonnet", strings.Replace(greeting, "' '", "', '", 1))
	redraws("a template", "Hello, Ada")
	f.save("shared.libsonnet", `{ hello: 'Good day' }`)
	redraws("an import", "Good day, Ada")
	f.save("greeting.ctx.json", `{"identity":{"traits":{"email":"ada@example.net","name":"Ada Lovelace"}}}`)
	redraws("a ctx", "Good day, Ada Lovelace")
	b.click(`a[href*="german"]`)
	b.until(`document.querySelector('h2').textContent === 'Good day, Jürgen'`)
	f.save("greeting.new.ctx.json", `{"identity":{"traits":{"email":"new@example.net","name":"New"}}}`)
	b.click(`a[href*="new"]`)
	b.until(`document.querySelector('h2').textContent === 'Good day, New'`)
	b.click(`a[href*="cancel"]`)
	b.until(`document.getElementById('hint').textContent.startsWith('The template cancelled')`)
	b.stayedHere()
}

func TestPreviewShowsErrors(t *testing.T) {
	f := greetings(t)
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('h2')?.textContent === 'Hello Ada'`)
	for _, test := range []struct{ name, file, text, title, says, line string }{
		{"syntax", "greeting.jsonnet", "function(ctx) {\n  message: ctx.\n}", "greeting.jsonnet:3:1", "", "}"},
		{
			"in an import", "shared.libsonnet", "{\n  hello: error 'no hello'\n}",
			"shared.libsonnet:2:10", "no hello", "  hello: error 'no hello'",
		},
		{
			"at run time", "greeting.jsonnet", strings.Replace(greeting, "traits.name,", "traits.nam,", 1),
			"greeting.jsonnet:6:35", "Field does not exist: nam", "    subject: shared.hello + ' ' + ctx.identity.traits.nam,",
		},
		{
			"unknown field", "greeting.jsonnet", strings.Replace(greeting, "subject:", "subjetc:", 1),
			"greeting.jsonnet:6", `message.subjetc: unknown field, did you mean "subject"?`,
			"    subjetc: shared.hello + ' ' + ctx.identity.traits.name,",
		},
		{"ctx", "greeting.ctx.json", "{\n  \"identity\": }", "greeting.ctx.json:2", "invalid character", "  \"identity\": }"},
	} {
		f.save(test.file, test.text)
		b.until(`!document.getElementById('problem').hidden &&
			document.querySelector('#problem h2').textContent.endsWith('` + test.title + `')`)
		says := evaluate[string](b, `document.querySelector('#problem p').textContent`)
		if !strings.Contains(says, test.says) {
			t.Errorf("%s: it says %q", test.name, says)
		}
		line := evaluate[string](b, `document.querySelector('#problem li.at')?.lastChild.textContent || ''`)
		if line != test.line {
			t.Errorf("%s: the excerpt's line is %q", test.name, line)
		}
		f.save("greeting.jsonnet", greeting)
		f.save("shared.libsonnet", `{ hello: 'Hello' }`)
		f.save("greeting.ctx.json", `{"identity":{"traits":{"email":"ada@example.net","name":"Ada"}}}`)
		b.until(`document.getElementById('problem').hidden && document.querySelector('h2')?.textContent === 'Hello Ada'`)
	}
	b.stayedHere()
}

// TestPreviewShowsChanges has a template of an audience show what the audience would be told, and what is
// wrong with it.
func TestPreviewShowsChanges(t *testing.T) {
	const newsletter = `function(ctx) {
  email_address: ctx.email,
  status_if_new: 'subscribed',
  merge_fields: { FNAME: '<b>Ada</b>' },
  tags: ['account', { name: 'guest', status: 'inactive' }],
  archive: ctx.old,
}`
	f := newFolder(t, map[string]string{
		"news.jsonnet": newsletter, "news.ctx.json": `{"email":"ada@example.net","old":"old@example.net"}`,
	})
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('h2')?.textContent === 'ada@example.net'`)
	rows := evaluate[string](b, `[...document.querySelectorAll('#mail tr')]
		.map((row) => [...row.cells].map((cell) => cell.textContent).join(': ')).join('; ')`)
	const want = "Address: ada@example.net; If it is new: subscribed; FNAME: <b>Ada</b>; " +
		"Tag: account; Tag: guest, taken off; Taken out: old@example.net"
	if rows != want {
		t.Errorf("it shows %q", rows)
	}
	text := evaluate[string](b, `document.querySelector('#mail pre').textContent`)
	if !strings.Contains(text, `"status_if_new": "subscribed"`) {
		t.Errorf("the JSON is %s", text)
	}
	f.save("news.jsonnet", strings.Replace(newsletter, "merge_fields", "merge_field", 1))
	b.until(`document.querySelector('#problem p')?.textContent ===
		'merge_field: unknown field, did you mean "merge_fields"?'`)
	line := evaluate[string](b, `document.querySelector('#problem li.at')?.lastChild.textContent || ''`)
	if line != "  merge_field: { FNAME: '<b>Ada</b>' }," {
		t.Errorf("the excerpt's line is %q", line)
	}
	f.save("news.jsonnet", "function(ctx) { archive: ctx.old }")
	b.until(`document.getElementById('problem').hidden && document.querySelector('h2')?.textContent === 'old@example.net'`)
	b.stayedHere()
}

func TestPreviewEditsCtx(t *testing.T) {
	f := greetings(t)
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('h2')?.textContent === 'Hello Ada'`)
	b.do(chromedp.SetValue(chromedp.CSS(`#ctx`), `{"identity":{"traits":{"email":"x@example.net","name":"Edite`))
	b.do(chromedp.SendKeys(chromedp.CSS(`#ctx`), "d"))
	b.until(`document.querySelector('#problem h2')?.textContent === 'greeting.ctx.json:1'`)
	b.do(chromedp.SendKeys(chromedp.CSS(`#ctx`), `"}}}`))
	b.until(`document.querySelector('h2')?.textContent === 'Hello Edited'`)
	// What is typed here outlasts what is saved there.
	f.save("shared.libsonnet", `{ hello: 'Hi' }`)
	b.until(`document.querySelector('h2')?.textContent === 'Hi Edited'`)
	b.click(`#revert`)
	b.until(`document.querySelector('h2')?.textContent === 'Hi Ada'`)
	b.stayedHere()
}

func TestPreviewWarns(t *testing.T) {
	f := greetings(t)
	f.save("greeting.jsonnet", `function(ctx) { message: {
		from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }],
		subject: 'A subject that goes on and on, and says little that could not be said in fewer words',
		html: '<p>Hi ' + ctx.identity.traits.name + '</p><img src="http://images.elsewhere.example/a.png">' +
			std.repeat('<!-- -->', 14000),
		merge: true } }`)
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('.notes')`)
	warnings := evaluate[string](b, `document.querySelector('.notes').innerText`)
	for _, want := range []string{
		"No text part", "The subject has", "An image without alt", "not by https", "Gmail clips",
		"ctx.identity.traits.name comes into the HTML unescaped", "with its merge tags",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("nothing says %q in\n%s", want, warnings)
		}
	}
	b.stayedHere()
}

func TestPreviewByKeyboard(t *testing.T) {
	f := greetings(t)
	b := newBrowser(t, 1400, 850)
	b.do(chromedp.Navigate(preview(t, f.path)))
	b.until(`document.querySelector('h2')?.textContent === 'Hello Ada'`)
	for range 20 {
		b.press(kb.Tab)
		if evaluate[bool](b, `document.activeElement.matches('#templates a')`) {
			break
		}
	}
	b.press(kb.ArrowDown)
	b.until(`document.querySelector('h2').textContent === 'Hello Jürgen' &&
		document.activeElement.matches('a[href*=german]')`)
	evaluate[string](b, `window.drawn = document.querySelector('.stage iframe').src`)
	f.save("greeting.jsonnet", strings.Replace(greeting, "'<p>'", "'<p style=\"height:3000px\">'", 1))
	b.until(`document.querySelector('.stage iframe').dataset.loaded &&
		document.querySelector('.stage iframe').src !== drawn`)
	b.reachable()
	b.stayedHere()
}

func TestPreviewIsForThisMachine(t *testing.T) {
	address := preview(t, greetings(t).path)
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"as it is", func(*http.Request) {}, http.StatusOK},
		{"another name", func(r *http.Request) { r.Host = "evil.example" }, http.StatusForbidden},
		{"another site", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{
			"a form's type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			http.StatusUnsupportedMediaType,
		},
	} {
		r, err := http.NewRequest(http.MethodPost, address+"draw",
			strings.NewReader(`{"template":"greeting.jsonnet","ctx":"{}"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		test.change(r)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.want {
			t.Errorf("%s: %d", test.name, answer.StatusCode)
		}
	}
}
