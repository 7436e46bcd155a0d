package e2e

import (
	"fmt"
	"image/color"
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

// hostile is a mail that tries what it can.
const hostile = `<!DOCTYPE html><html><head>
<meta http-equiv="refresh" content="0;url=https://refresh.elsewhere.example/">
<link rel="preconnect" href="https://preconnect.elsewhere.example">
<link rel="dns-prefetch" href="//dns.elsewhere.example">
<link rel="stylesheet" href="https://style.elsewhere.example/a.css">
<link rel="prefetch" href="https://prefetch.elsewhere.example/">
<style>@import url(https://import.elsewhere.example/a.css); @font-face { font-family: x; src:
url(https://font.elsewhere.example/f) } body { font-family: x; background: url(https://background.elsewhere.example/b)
}</style>
<base href="https://base.elsewhere.example/"></head><body>
<svg><title><link rel="preconnect" href="https://title.elsewhere.example"></title></svg>
<svg><style><p><link rel="preconnect" href="https://svg.elsewhere.example"></p></style></svg><math><style><p>
<link rel="preconnect" href="https://math.elsewhere.example"></p></style></math>
<svg><xmp><p><link rel="preconnect" href="https://xmp.elsewhere.example"></p></xmp></svg><svg><textarea><p>
<link rel="preconnect" href="https://textarea.elsewhere.example"></p></textarea></svg>
<svg><style><p><iframe src="https://framed.elsewhere.example/"></iframe></p></style></svg><select><xmp>
<link rel="preconnect" href="https://select.elsewhere.example"></xmp></select>
<svg><style><p><meta http-equiv="refresh" content="0;url=https://refreshed.elsewhere.example/"></p></style></svg>
<script>parent.document.title = 'pwned'; top.location = 'https://script.elsewhere.example/';
fetch('https://fetch.elsewhere.example/')</script>
<img src="https://image.elsewhere.example/pixel.png" alt="Pixel" onerror="parent.document.title = 'pwned'">
<img src="relative.png" alt="">
<video src="https://video.elsewhere.example/v" autoplay></video><object data="https://object.elsewhere.example/o">
</object>
<iframe src="https://frame.elsewhere.example/"></iframe><iframe srcdoc="<script>top.document.title='pwned'</script>">
</iframe>
<form action="https://form.elsewhere.example/"><button autofocus>Send</button></form>
<a href="https://link.elsewhere.example/" style="position:fixed;inset:0;display:block">A link over everything</a>
</body></html>`

// inbox is a Caddy with a hook and a sandbox.
type inbox struct {
	t       *testing.T
	address string
	process *exec.Cmd
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	_, port, _ := strings.Cut(freeAddress(t), ":")
	i := &inbox{t: t, address: "http://localhost:" + port}
	folder := t.TempDir()
	template := filepath.Join(folder, "t.jsonnet")
	config := filepath.Join(folder, "Caddyfile")
	for file, text := range map[string]string{
		template: `function(ctx) { message: { from_email: 'hello@example.com' } + ctx.message }`,
		config: fmt.Sprintf("{\nadmin off\nauto_https off\npersist_config off\n"+
			"mailchimp {\napi_key key\nsender_domain example.com\napi_base %s/api/1.0\n}\n}\n"+
			"%s {\nbind 127.0.0.1\nmailchimp_hook /hook %s {\nauth off\n}\nmandrill_sandbox\n}\n",
			i.address, i.address, template),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i.process = exec.Command(binary, "run", "--config", config, "--adapter", "caddyfile")
	i.process.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	if err := i.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if i.process.ProcessState == nil {
			_ = i.process.Process.Kill()
			_ = i.process.Wait()
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(i.address + "/sandbox/messages")
		if err == nil {
			answer.Body.Close()
			return i
		}
		if time.Now().After(deadline) {
			t.Fatal("Caddy didn't start")
		}
	}
}

// post posts a hook whose mail is the message.
func (i *inbox) post(message string) {
	i.t.Helper()
	answer, err := http.Post(i.address+"/hook", "application/json", strings.NewReader(`{"message":`+message+`}`))
	if err != nil {
		i.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		i.t.Fatalf("the hook was answered with %d", answer.StatusCode)
	}
}

// mail is a message as JSON.
func mail(subject, to, more string) string {
	return fmt.Sprintf(`{"subject":%q,"to":[{"email":%q}]%s}`, subject, to, more)
}

func TestInboxIsLive(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 1280, 800)
	b.do(chromedp.Navigate(i.address + "/"))
	b.until(`document.getElementById('live').textContent === 'Live'`)
	evaluate[bool](b, `window.sameDocument = true`)
	i.post(mail("Hello", "ada@example.net", `,"html":"<b>Hi</b>","text":"plain words"`))
	b.until(`sameDocument && document.querySelector('#mails a .subject')?.textContent === 'Hello'`)
	b.until(`document.getElementById('said').textContent === 'New mail to ada@example.net: Hello'`)

	b.click(`#mails a`)
	b.until(`document.querySelector('.stage iframe')?.dataset.loaded`)
	i.post(mail("Another", "grace@example.net", `,"text":"other words","headers":{"X-Kind":"test"}`))
	b.until(`document.querySelectorAll('#mails a').length === 2 && document.querySelector('h2').textContent === 'Hello'`)
	b.click(`#tab-text`)
	b.until(`document.querySelector('#panel-text pre').textContent === 'plain words'`)
	b.click(`#mails li:first-child a`)
	b.until(`document.querySelector('#panel-text pre')?.textContent === 'other words'`)
	b.click(`#tab-headers`)
	b.until(`document.querySelector('#panel-headers').innerText.includes('X-Kind')`)
	b.click(`#tab-answer`)
	b.until(`document.querySelector('#panel-answer').innerText.includes('"status": "sent"')`)

	b.do(chromedp.SendKeys(chromedp.CSS(`#search`), "PLAIN"))
	b.until(`document.querySelectorAll('#mails a').length === 1 &&
		document.querySelector('#mails .subject').textContent === 'Hello'`)
	b.do(chromedp.SendKeys(chromedp.CSS(`#search`), "nowhere"))
	b.until(`document.getElementById('none').textContent === 'No mail has these words.'`)
	b.click(`#clear`)
	b.until(`document.getElementById('none').textContent.startsWith('No mail yet')`)
	b.stayedHere()
}

func TestMergeVariablesAreFilled(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 1280, 800)
	i.post(`{"subject":"Hi {{name}}","html":"<p id=p>{{#if name}}Dear {{name}}{{else}}Dear you{{/if}}</p>",
		"text":"{{name}} {{missing}}","merge_language":"handlebars",
		"to":[{"email":"ada@example.net"},{"email":"bo@example.net"}],
		"global_merge_vars":[{"name":"name","content":"friend"}],
		"merge_vars":[{"rcpt":"ada@example.net","vars":[{"name":"NAME","content":"Ada <3"}]}],
		"attachments":[{"type":"text/plain","name":"a.txt","content":"aGVsbG8="}]}`)
	b.do(chromedp.Navigate(i.address + "/"))
	b.click(`#mails a`)
	b.until(`document.querySelector('h2')?.textContent === 'Hi Ada <3' &&
		document.querySelector('#mails .subject').textContent === 'Hi Ada <3'`)
	b.until(`document.querySelector('.notes').innerText.includes('{{missing}} has no value')`)
	b.click(`#tab-merge`)
	b.until(`document.querySelector('#panel-merge').innerText.includes('this recipient')`)
	b.click(`#tab-files`)
	b.until(`document.querySelector('#panel-files').innerText.includes('5 bytes')`)
	b.do(chromedp.SetValue(chromedp.CSS(`.head select`), "1"))
	evaluate[bool](b, `document.querySelector('.head select').dispatchEvent(new Event('change'))`)
	b.until(`document.querySelector('h2').textContent === 'Hi friend'`)
	b.stayedHere()
}

func TestMailsAreHarmless(t *testing.T) {
	control := newBrowser(t, 800, 600)
	control.do(chromedp.Navigate("data:text/html,<img src=http://control.elsewhere.example/>"))
	if control.elsewhere.Load() == 0 {
		t.Fatal("a request for elsewhere isn't noticed")
	}

	i := newInbox(t)
	b := newBrowser(t, 1280, 800)
	i.post(mail("<script>document.title='pwned'</script>", "ada@example.net",
		fmt.Sprintf(`,"html":%q,"text":%q`, hostile, hostile)))
	b.do(chromedp.Navigate(i.address + "/"))
	b.click(`#mails a`)
	b.until(`document.querySelector('.stage iframe')?.dataset.loaded`)
	b.click(`.stage iframe`) // the link that lies over everything
	b.click(`#tab-text`)
	b.click(`#tab-json`)
	b.until(`document.querySelector('#panel-json pre').textContent.includes('elsewhere.example')`)
	if title := evaluate[string](b, `document.title`); title != "(1) Mandrill sandbox" {
		t.Errorf("the page's title is %q", title)
	}
	if at := evaluate[string](b, `location.href`); !strings.HasPrefix(at, i.address) {
		t.Errorf("the page went to %s", at)
	}
	// The frame alone, in a tab of its own, is as harmless.
	frame := evaluate[string](b, `document.querySelector('.stage iframe').getAttribute('src')`)
	b.do(chromedp.Navigate(i.address + "/" + frame))
	b.until(`document.querySelector('img')?.alt === 'Pixel'`)
	if title := evaluate[string](b, `document.title`); title == "pwned" {
		t.Error("a script of the mail ran")
	}
	b.stayedHere()
}

func TestInboxByKeyboard(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 1280, 800)
	b.do(chromedp.Navigate(i.address + "/"))
	b.until(`document.getElementById('live').textContent === 'Live'`)
	for n := range 3 {
		i.post(mail(fmt.Sprint("Mail ", n), "ada@example.net", `,"html":"<p style=height:3000px>Hi</p>","text":"Hi"`))
		b.until(fmt.Sprintf(`document.querySelectorAll('#mails a').length === %d`, n+1))
	}
	for range 20 {
		b.press(kb.Tab)
		if evaluate[bool](b, `document.activeElement.matches('#mails a')`) {
			break
		}
	}
	b.press(kb.ArrowDown)
	b.until(`document.querySelector('h2')?.textContent === 'Mail 1'`)
	b.press(kb.End)
	b.until(`document.querySelector('h2')?.textContent === 'Mail 0'`)
	b.press(kb.Tab)
	b.until(`document.activeElement.matches('#tab-mail')`)
	b.press(kb.ArrowRight)
	b.until(`document.activeElement.matches('#tab-text') && !document.getElementById('panel-text').hidden`)
	b.press(kb.Home)
	b.reachable()
	b.click(`#failing`)
	b.until(`document.getElementById('switch').open`)
	b.reachable()
	b.press(kb.Escape)
	b.until(`!document.getElementById('switch').open`)
	b.stayedHere()
}

// TestWidthsAndColours looks at what is drawn: what is in the frame, the page can't read.
func TestWidthsAndColours(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 1280, 800)
	i.post(mail("Colours", "ada@example.net", `,"html":"<style>body { background: rgb(255 0 0) } `+
		`@media (width < 400px) { body { background: rgb(0 255 0) } } `+
		`@media (prefers-color-scheme: dark) { body { background: rgb(0 0 255) } }</style>"`))
	b.do(chromedp.Navigate(i.address + "/"))
	b.click(`#mails a`)
	b.until(`document.querySelector('.stage iframe')?.dataset.loaded`)
	b.drawn("desktop", color.RGBA{R: 255, A: 255})
	b.click(`input[value=phone]`)
	b.drawn("phone", color.RGBA{G: 255, A: 255})
	b.click(`input[value=dark]`)
	b.drawn("dark", color.RGBA{B: 255, A: 255})
	b.prefer("dark")
	b.click(`input[value=light]`)
	b.drawn("light on a dark page", color.RGBA{G: 255, A: 255})
	b.stayedHere()
}

func TestFailureSwitch(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 1280, 900)
	b.do(chromedp.Navigate(i.address + "/"))
	b.until(`document.getElementById('live').textContent === 'Live'`)
	b.click(`#failing`)
	b.do(chromedp.SetValue(chromedp.CSS(`#failure`), "1"), chromedp.SetValue(chromedp.CSS(`#times`), "2"))
	b.click(`#fail`)
	b.until(`document.getElementById('failures').innerText === '2 × Down: 503'`)
	i.post(mail("Late", "ada@example.net", ""))
	// The page shows the calls that failed, and the one that went through after them.
	b.until(`document.querySelectorAll('#calls .bad').length === 2 &&
		document.querySelectorAll('#calls .good').length === 1`)
	b.until(`document.querySelector('#calls .bad').textContent === '503 ServiceUnavailable'`)
	b.until(`document.querySelector('#mails .subject').textContent === 'Late'`)
	b.click(`#fail`)
	b.until(`document.getElementById('failing').textContent === 'Failing: 2 more'`)
	b.click(`#recover`)
	b.until(`!document.getElementById('no-failures').hidden`)
	// One that is meant for some calls, and the account's settings.
	b.do(chromedp.SendKeys(chromedp.CSS(`#subaccount`), "shop"), chromedp.SendKeys(chromedp.CSS(`#contains`), "invoice"))
	b.click(`#fail`)
	b.until(`document.getElementById('failures').innerText === '2 × Down: 503, of the sub-account shop, with “invoice”'`)
	b.click(`#search-limit`)
	b.click(`#search-lag`)
	b.until(`fetch('sandbox/settings').then((r) => r.text())
		.then((text) => { document.body.dataset.settings = text.trim(); }),
		document.body.dataset.settings === '{"searches_per_minute":20,"search_lag":"20s"}'`)
	b.stayedHere()
}

// TestOpenPageDoesntKeepCaddy: a server waits for its answers, and a page listens as long as it is open.
func TestOpenPageDoesntKeepCaddy(t *testing.T) {
	i := newInbox(t)
	b := newBrowser(t, 800, 600)
	b.do(chromedp.Navigate(i.address + "/"))
	b.until(`document.getElementById('live').textContent === 'Live'`)
	if err := i.process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- i.process.Wait() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Caddy didn't stop")
	}
	b.until(`document.getElementById('live').textContent === 'Reconnecting'`)
}

// TestMembersPage has somebody unsubscribe, and forgets all, by the page of the audiences' members.
func TestMembersPage(t *testing.T) {
	i := newInbox(t)
	r, err := http.NewRequest(http.MethodPost, i.address+"/3.0/lists/l1/members",
		strings.NewReader(`{"email_address":"ada@example.net","status":"subscribed"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("x", "key")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
	b := newBrowser(t, 1000, 600)
	b.do(chromedp.Navigate(i.address + "/"))
	b.click(`a[href="3.0/"]`)
	b.click(`td button`)
	b.until(`document.querySelector('tbody tr')?.cells[1].textContent === 'unsubscribed'`)
	b.click(`h1 + form button`)
	b.until(`location.pathname === '/3.0/' && document.body.textContent.includes('Nobody is in an audience yet')`)
	b.click(`a[href="../"]`)
	b.until(`document.title.includes('Mandrill sandbox')`)
	b.stayedHere()
}
