package e2e

import (
	"bytes"
	"context"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a tab of a real Chromium.
type browser struct {
	context.Context
	t *testing.T
	// elsewhere counts the connections to hosts below elsewhere.example, whoever asked for them.
	elsewhere atomic.Int64

	mu     sync.Mutex
	errors []string
	// asked are requests for other hosts that weren't stopped.
	asked map[network.RequestID]string
}

// newBrowser opens an empty tab. Names below elsewhere.example lead to a listener that counts. Other names
// lead nowhere: Chromium asks for some of its own.
func newBrowser(t *testing.T, width, height int) *browser {
	t.Helper()
	b := &browser{t: t, asked: make(map[network.RequestID]string)}
	elsewhere := httptest.NewUnstartedServer(http.NotFoundHandler())
	elsewhere.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			b.elsewhere.Add(1)
		}
	}
	elsewhere.Start()
	t.Cleanup(elsewhere.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.WindowSize(width, height),
		chromedp.Flag("host-resolver-rules", "MAP *.elsewhere.example "+elsewhere.Listener.Addr().String()+
			", MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.DisableGPU,
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	if err := chromedp.Listen(tab, b.note); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(cancel)
	b.Context = limited
	if _, err := chromedp.Call(b.Context, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// note keeps what went wrong in the page, and what it asked of other hosts.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, event.ExceptionDetails.Text)
		if event.ExceptionDetails.Exception != nil {
			b.errors = append(b.errors, event.ExceptionDetails.Exception.Description)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(event.Request.URL)
		if err != nil || u.Scheme != "data" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
			b.asked[event.RequestID] = event.Request.URL
		}
	case *network.EventLoadingFailed:
		if event.BlockedReason != "" {
			delete(b.asked, event.RequestID)
		}
	}
}

// stayedHere fails where anything was asked of another host, or where a script of the page failed.
func (b *browser) stayedHere() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, address := range b.asked {
		b.t.Errorf("the page asked for %s", address)
	}
	if n := b.elsewhere.Load(); n > 0 {
		b.t.Errorf("%d connections went elsewhere", n)
	}
	if len(b.errors) > 0 {
		b.t.Errorf("a script of the page failed: %s", strings.Join(b.errors, "\n"))
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.Context, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// until waits until an expression is true in the page, or in the one that takes its place.
func (b *browser) until(expression string) {
	b.t.Helper()
	wait := chromedp.Poll[bool]("!!("+expression+")",
		chromedp.WithPollingTimeout(20*time.Second), chromedp.WithPollingInterval(20*time.Millisecond))
	deadline := time.Now().Add(20 * time.Second)
	_, err := chromedp.Run(b.Context, wait)
	for err != nil && time.Now().Before(deadline) {
		_, err = chromedp.Run(b.Context, wait)
	}
	if err != nil {
		b.t.Fatalf("never true: %s: %v\nthe page says\n%s", expression, err, evaluate[string](b, `document.body.innerText`))
	}
}

// evaluate is what an expression gives in the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.Context, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// click clicks an element as a mouse does.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// prefer makes the browser prefer light or dark pages.
func (b *browser) prefer(scheme string) {
	b.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	params := emulation.SetEmulatedMediaParams{Features: features}
	if _, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, params); err != nil {
		b.t.Fatal(err)
	}
}

// shot takes a picture of the tab.
func (b *browser) shot(file string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.Context, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// drawn waits until the middle of the frame has a colour.
func (b *browser) drawn(what string, want color.RGBA) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		middle := evaluate[[2]float64](b, `(({ x, y, width, height }) => [x + width / 2, y + height / 2])(
			document.querySelector('.stage iframe').getBoundingClientRect())`)
		picture, err := chromedp.Run(b.Context, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		decoded, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			b.t.Fatal(err)
		}
		got := color.RGBAModel.Convert(decoded.At(int(middle[0]), int(middle[1])))
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: the frame is %v, want %v", what, got, want)
		}
	}
}

// press presses a key, such as kb.Tab.
func (b *browser) press(key string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(key))
}

// reachable presses Tab until the focus is where it began, and fails where a visible element that can be used
// was not reached. Of elements among which the arrow keys move, one is enough.
func (b *browser) reachable() {
	b.t.Helper()
	evaluate[bool](b, `!!(window.reached = new Set())`)
	for range 60 {
		b.press(kb.Tab)
		evaluate[bool](b, `!!reached.add(document.activeElement)`)
	}
	missed := evaluate[string](b, `[...(document.querySelector('dialog:modal') || document)
		.querySelectorAll('a[href], button, input, select, textarea, iframe, [tabindex="0"]')]
		.filter((one) => one.checkVisibility() && !one.disabled && !reached.has(one))
		.filter((one) => !(one.matches('[role=tab], nav a') &&
			[...reached].some((other) => other.matches('[role=tab], nav a') &&
				other.closest('[role=tablist], nav') === one.closest('[role=tablist], nav'))))
		.filter((one) => !(one.type === 'radio' && [...reached].some((other) => other.name === one.name)))
		.map((one) => one.outerHTML.slice(0, 120)).join('\n')`)
	if missed != "" {
		b.t.Errorf("the Tab key doesn't reach\n%s", missed)
	}
	unnamed := evaluate[string](b, `[...document.querySelectorAll(
		'a[href], button, input, select, textarea, iframe, dialog, nav, main, aside')]
		.filter((one) => !(one.ariaLabel || one.title || one.labels?.length ||
			one.getAttribute('aria-labelledby') || one.textContent.trim()))
		.map((one) => one.outerHTML.slice(0, 120)).join('\n')`)
	if unnamed != "" {
		b.t.Errorf("a screen reader has no name for\n%s", unnamed)
	}
}
