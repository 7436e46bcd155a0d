package view_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func frame(content string, images ...mandrill.Attachment) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	view.Frame(w, content, images)
	return w
}

func TestFrame(t *testing.T) {
	const end = `<body tabindex="0">`
	for _, test := range []struct{ name, content, want string }{
		{
			"as it is", `<!DOCTYPE html><p class="a">Hi & "you" <b>x</p><style>a > b {}</style>`,
			`<!DOCTYPE html><p class="a">Hi & "you" <b>x</p><style>a > b {}</style>`,
		},
		{
			"a doctype of old", `<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN">`,
			`<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN">`,
		},
		{"no HTML", `plain < text`, `plain &lt; text`},
		{
			"a style as it is", `<style media=x><!-- @media (width < 400px) { a > b {} } --></style>a<style></style>b`,
			`<style media="x">  @media (width < 400px) { a > b {} }  </style>a<style></style>b`,
		},
		{"tags in a style", `<style><p><!--<link></STYLE>a`, `<style>< p> < link></style>a`},
		{"a style that isn't closed", `<style>a {}`, `<style>a {}</style>`},
		{"comments", `a<!-- <link> -->b`, `ab`},
		{"links in the head", `<link rel=preconnect href=//x><LINK rel="stylesheet"/><base href=//x>a`, `a`},
		{"frames", `a<iframe src=//x><link></iframe>b<frame src=//x><object data=//x></object><embed src=//x>`, `ab`},
		{
			"a drawing", `<svg><title><link href=//x></title><path d="M0"/></svg><math><style><p><link></style></math>a`,
			`<path d="M0"/><style>< p>< link></style>a`,
		},
		{
			"raw text", `<title><link></title><xmp><link></xmp><textarea><link></textarea><noframes><link></noframes>a`,
			`<pre>&lt;link></pre><pre>&lt;link></pre>a`,
		},
		{"attributes", `<p title='</title><link>' a"b=c <link>x<p<link>`, `<p title="&lt;/title&gt;&lt;link&gt;">x`},
		{"a tag that isn't closed", `a<iframe src="//x" `, `a`},
		{"refresh", `<meta http-equiv=refresh content="0;url=//x"><meta charset=utf-8>`, `<meta charset="utf-8">`},
		{"noscript", `<noscript><link rel=preconnect href=//x>a</noscript>`, `a`},
		{
			"a link", `<a href="https://example.com/?a=1&amp;b=2" ping="//x" target="_top" class=c>Go</a>`,
			`<a class="c" href="#" title="https://example.com/?a=1&amp;b=2">Go</a>`,
		},
		{"a link with a title", `<a href="//x" title="There">Go</a>`, `<a title="There" href="#">Go</a>`},
		{"an anchor", `<a name=top></a>`, `<a name="top"></a>`},
	} {
		if got := frame(test.content).Body.String(); got != test.want+end {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	w := frame(`<img src="cid:logo"><img src="cid:page">`, mandrill.Attachment{
		Name: "logo", Type: "image/png", Content: "AAAA",
	}, mandrill.Attachment{Name: "page", Type: "text/html", Content: "AAAA"})
	if got := w.Body.String(); !strings.Contains(got, `src="data:image/png;base64,AAAA"`) ||
		!strings.Contains(got, `src="cid:page"`) {
		t.Error(got)
	}
	w = frame(`<p style="background: url('cid:a b'), url(cid:logo)"><style>p { background: url("cid:logo") }</style>`,
		mandrill.Attachment{Name: "logo", Type: "image/png", Content: "AAAA"})
	if got := w.Body.String(); strings.Count(got, "url(data:image/png;base64,AAAA)")+
		strings.Count(got, `url("data:image/png;base64,AAAA")`) != 2 {
		t.Error(got)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"sandbox;", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "allow-") || strings.Contains(policy, "script-src") {
		t.Errorf("the policy %q allows something", policy)
	}
}

func TestPage(t *testing.T) {
	w := httptest.NewRecorder()
	view.Page(w, []byte("page"))
	if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") ||
		!strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{name}", view.Assets(fstest.MapFS{"own.js": {Data: []byte("own")}}))
	for name, want := range map[string]int{
		"own.js": 200, "style.css": 200, "mail.js": 200, "icon.svg": 200, "none.js": 404, "..%2fview.go": 400,
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/assets/"+name, nil))
		if w.Code != want {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

func TestFile(t *testing.T) {
	files := []mandrill.Attachment{{Name: "a.html", Type: "text/html", Content: "PGI+"}, {Content: "not base64"}}
	for n, want := range map[string]int{"0": 200, "1": 422, "2": 404, "-1": 404, "x": 404} {
		w := httptest.NewRecorder()
		view.File(w, files, n)
		if w.Code != want {
			t.Errorf("%s: %d", n, w.Code)
		}
		if want == 200 &&
			(w.Body.String() != "<b>" || w.Header().Get("Content-Type") != "application/octet-stream" ||
				w.Header().Get("Content-Disposition") != "attachment") {
			t.Errorf("%s: %q, %v", n, w.Body, w.Header())
		}
	}
}

func TestNewMail(t *testing.T) {
	request := `{"template_name":"","message":{"from_email":"a@example.com","from_name":"*|NAME|*",
		"subject":"Hi *|NAME|*","html":"<a href='https://example.com/'>To  <b>us</b></a>","text":"t",
		"to":[{"email":"ada@example.net","name":"Ada"},{"email":"bo@example.net","type":"cc"}],
		"headers":{"Reply-To":"r@example.com"},"tags":["x"],"metadata":{"id":7},
		"merge_vars":[{"rcpt":"bo@example.net","vars":[{"name":"name","content":"Bo"}]}],
		"attachments":[{"type":"text/plain","name":"a.txt","content":"aGVsbG8="}],
		"images":[{"type":"image/png","name":"i","content":"AAAA"}]}}`
	mail, filled, err := view.NewMail(json.RawMessage(request), 1)
	if err != nil {
		t.Fatal(err)
	}
	if mail.Subject != "Hi Bo" || mail.From != "Bo <a@example.com>" || mail.To != 1 || !mail.HasHTML || mail.HTML != "" ||
		!strings.Contains(filled.HTML, "<b>us</b>") {
		t.Errorf("the mail is %+v", mail)
	}
	if len(mail.Links) != 1 || mail.Links[0] != [2]string{"To us", "https://example.com/"} {
		t.Errorf("the links are %q", mail.Links)
	}
	if len(mail.Files) != 2 || mail.Files[0].Size != 5 || mail.Files[0].Inline || !mail.Files[1].Inline ||
		mail.Files[1].Size != 3 {
		t.Errorf("the files are %+v", mail.Files)
	}
	lines := make(map[string]string)
	for _, line := range mail.Lines {
		lines[line[0]] = line[1]
	}
	for name, want := range map[string]string{
		"To": "Ada <ada@example.net>", "Cc": "bo@example.net", "Reply-To": "r@example.com", "Tags": "x", "Metadata id": "7",
	} {
		if lines[name] != want {
			t.Errorf("%s is %q", name, lines[name])
		}
	}
	if mail, _, err := view.NewMail(json.RawMessage(request), 7); err != nil || mail.To != 0 {
		t.Errorf("for nobody: %v, %v", mail, err)
	}
	if _, _, err := view.NewMail(json.RawMessage(`[]`), 0); err == nil {
		t.Error("an array is a mail")
	}
}

// TestStreamEndsWithItsServer would wait for ever in Shutdown.
func TestStreamEndsWithItsServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stopping := view.Stopping(r)
		if err := view.NewStream(w).Send("state", "open"); err != nil {
			t.Error(err)
		}
		<-stopping
	}))
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, len("event: state\ndata: \"open\"\n\n"))
	if _, err := answer.Body.Read(first); err != nil || string(first) != "event: state\ndata: \"open\"\n\n" {
		t.Errorf("the event is %q, %v", first, err)
	}
	if err := server.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStreamAfterShutdown: a request may have come just before, and ask only after.
func TestStreamAfterShutdown(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.ServerContextKey, server.Config),
		http.MethodGet, "/", nil)
	before := view.Stopping(r)
	if err := server.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-before
	select {
	case <-view.Stopping(r):
	case <-time.After(10 * time.Second):
		t.Error("the stream would never end")
	}
}

// slowPage takes nothing until the deadline for writing.
type slowPage struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (p *slowPage) SetWriteDeadline(deadline time.Time) error {
	p.deadline = deadline
	return nil
}

func (p *slowPage) FlushError() error {
	if p.deadline.IsZero() {
		return nil // for ever, in truth
	}
	time.Sleep(time.Until(p.deadline))
	return os.ErrDeadlineExceeded
}

// TestStreamDoesntWait: a server couldn't stop while a page reads nothing.
func TestStreamDoesntWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := &slowPage{ResponseRecorder: httptest.NewRecorder()}
		begun := time.Now()
		if err := view.NewStream(page).Send("state", 1); !errors.Is(err, os.ErrDeadlineExceeded) ||
			time.Since(begun) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if !page.deadline.IsZero() {
			t.Error("the deadline ends what waits for the next event")
		}
	})
}

// TestFrameIsBounded: an image that is named many times would fill the memory.
func TestFrameIsBounded(t *testing.T) {
	image := mandrill.Attachment{Name: "a", Type: "image/png", Content: strings.Repeat("A", 200<<10)}
	for _, content := range []string{
		strings.Repeat("cid:a ", 2000), strings.Repeat("<img src=cid:a>", 2000), "<style>" +
			strings.Repeat("url(cid:a) ", 2000),
	} {
		if n := frame(content, image).Body.Len(); n > 9<<20 {
			t.Errorf("%.15s…: %d bytes", content, n)
		}
	}
}

// connects is what must not stand in a frame, wherever it is: where a browser takes text as raw is its own affair.
var connects = regexp.MustCompile(`(?i)<(link|base|i?frame|frameset|embed|object|svg|math|title|` +
	`textarea|xmp|script|noscript|plaintext|noembed|noframes)[\s/>]|<!--`)

func FuzzFrame(f *testing.F) {
	f.Add(`<a href=x><iframe><noscript><link></noscript>`)
	f.Add(`<svg><style><p><link></style></svg><select><style><link></style><p title="<link>" <link>`)
	f.Fuzz(func(t *testing.T, content string) {
		once := frame(content, mandrill.Attachment{Name: "a", Type: "image/<link>", Content: "<link>"}).Body.String()
		if found := connects.FindString(once); found != "" {
			t.Errorf("%q becomes %q with %q", content, once, found)
		}
	})
}
