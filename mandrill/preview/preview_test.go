package preview_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/preview"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// template is a file that is a message as it stands, with NAME for ctx.name. It is broken where it begins with
// "broken".
type template string

func (t template) Version() string { return string(t) }

func (t template) Message(_ context.Context, data any) ([]byte, error) {
	name, _ := data.(map[string]any)["name"].(string)
	return []byte(strings.ReplaceAll(string(t), "NAME", name)), nil
}

func (t template) Result(ctx context.Context, body []byte) (preview.Result, error) {
	var data map[string]any
	if err := json.Unmarshal(body, &data); err != nil {
		return preview.Result{}, &preview.Problem{Line: 2, Message: err.Error()}
	}
	if data["name"] == "cancel" {
		return preview.Result{}, preview.ErrCancelled
	}
	if data["name"] == "field" {
		return preview.Result{}, &preview.Problem{
			File: string(t[strings.Index(string(t), "FILE ")+5:]), Field: "message.to[0].emial", Message: "unknown field",
		}
	}
	message, err := t.Message(ctx, data)
	if strings.HasPrefix(string(t), `{"email_address"`) {
		return preview.Result{Change: message}, err
	}
	return preview.Result{Request: message, Notes: []string{"a note"}}, err
}

func open(file string) (preview.Template, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(string(data), "broken") {
		return nil, &preview.Problem{File: file, Line: 2, Column: 3, Message: "it is broken"}
	}
	return template(string(data)), nil
}

const good = `{"message":{"subject":"Hi NAME","html":"<b>NAME</b>","text":"Hi","from_email":"a@example.com",` +
	`"to":[{"email":"b@example.net"}],"attachments":[{"name":"a","type":"text/plain","content":"aGk="}]}}`

// write returns a new folder with the files.
func write(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func start(t *testing.T, files map[string]string) (dir, address string) {
	t.Helper()
	dir = write(t, files)
	server := httptest.NewServer(preview.New(dir, open))
	t.Cleanup(server.Close)
	return dir, server.URL
}

// call returns the status and the body of an answer.
func call(t *testing.T, method, address, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

type drawn struct {
	ID        int
	Mail      *struct{ Subject string }
	Change    map[string]string
	Warnings  []string
	Cancelled bool
	Problem   *preview.Problem
}

func draw(t *testing.T, address, template, ctx string) (d drawn) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"template": template, "ctx": ctx})
	if err != nil {
		t.Fatal(err)
	}
	status, answer := call(t, http.MethodPost, address+"/draw", string(body))
	if status != http.StatusOK {
		t.Fatalf("drawing %s: %d %s", template, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDraw(t *testing.T) {
	_, address := start(t, map[string]string{
		"a.jsonnet": good, "broken.jsonnet": "broken\nsecond line\nthird\n4\n5\n6", "below/b.jsonnet": good,
		"change.jsonnet": `{"email_address":"NAME@example.net"}`,
	})
	d := draw(t, address, "a.jsonnet", `{"name":"Ada"}`)
	if d.Mail == nil || d.Mail.Subject != "Hi Ada" || len(d.Warnings) != 1 || d.Warnings[0] != "a note" {
		t.Errorf("drawn is %+v", d)
	}
	for path, want := range map[string]string{
		"/drawn/1/html": "<b>Ada</b>", "/drawn/1/file/0": "hi", "/drawn/2/html": "no longer kept",
		"/drawn/x/html": "no longer kept",
	} {
		if _, body := call(t, http.MethodGet, address+path, ""); !strings.Contains(body, want) {
			t.Errorf("%s is %q", path, body)
		}
	}
	if d := draw(t, address, "below/b.jsonnet", `{}`); d.Mail == nil {
		t.Errorf("below the folder: %+v", d)
	}
	if d := draw(t, address, "change.jsonnet", `{"name":"Ada"}`); d.Mail != nil || d.Problem != nil ||
		d.Change["email_address"] != "Ada@example.net" {
		t.Errorf("a change: %+v", d)
	}
	if d := draw(t, address, "a.jsonnet", `{"name":"cancel"}`); !d.Cancelled || d.Mail != nil {
		t.Errorf("cancelled: %+v", d)
	}
	d = draw(t, address, "broken.jsonnet", `{}`)
	if p := d.Problem; p == nil || !strings.HasSuffix(p.File, "broken.jsonnet") || p.Line != 2 || p.Column != 3 ||
		len(p.Excerpt) != 5 || p.Excerpt[1] != (preview.Line{Number: 2, Text: "second line"}) {
		t.Errorf("broken: %+v", p)
	}
	d = draw(t, address, "a.jsonnet", "{\n\"name\"\n}")
	if p := d.Problem; p == nil || p.File != "" || p.Line != 2 || p.Excerpt[1].Text != `"name"` {
		t.Errorf("ctx: %+v", p)
	}
}

func TestPlaceOfAField(t *testing.T) {
	for _, test := range []struct {
		name, source string
		line         int
	}{
		{"once", "{\n  to: [{ emial: 1 }],\n}", 2},
		{"quoted", "{\n  to: [{\n 'emial': 1 }],\n}", 3},
		{"twice", "{\n  emial: 1,\n  emial: 2\n}", 0},
		{"nowhere", "{\n  email: 1,\n  // emial\n}", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := filepath.Join(t.TempDir(), "source")
			if err := os.WriteFile(source, []byte(test.source), 0o600); err != nil {
				t.Fatal(err)
			}
			_, address := start(t, map[string]string{"a.jsonnet": "FILE " + source})
			d := draw(t, address, "a.jsonnet", `{"name":"field"}`)
			if d.Problem == nil || d.Problem.Line != test.line || (len(d.Problem.Excerpt) > 0) != (test.line > 0) {
				t.Errorf("the problem is %+v", d.Problem)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	dir, address := start(t, map[string]string{"a.jsonnet": good, "a.ctx.json": `{"name":"x"}`, "secret.json": "secret"})
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/draw", `{"template":"../a.jsonnet"}`, 404},
		{"POST", "/draw", `{"template":"` + filepath.Join(dir, "a.jsonnet") + `"}`, 404},
		{"POST", "/draw", `{"template":"secret.json"}`, 404},
		{"POST", "/draw", `no JSON`, 400},
		{"POST", "/draw", `{"ctx":"` + strings.Repeat("x", 5<<20) + `"}`, 400},
		{"GET", "/draw", "", 405},
		{"GET", "/ctx?file=a.ctx.json", "", 200},
		{"GET", "/ctx?file=secret.json", "", 404},
		{"GET", "/ctx?file=../a.ctx.json", "", 404},
		{"GET", "/ctx", "", 404},
		{"GET", "/", "", 200},
		{"GET", "/nowhere", "", 404},
	} {
		if status, _ := call(t, test.method, address+test.path, test.body); status != test.want {
			t.Errorf("%s %s %.40s: %d", test.method, test.path, test.body, status)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/draw", strings.NewReader(`{"template":"a.jsonnet"}`))
	w := httptest.NewRecorder()
	preview.New(dir, open).ServeHTTP(w, r)
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("without a type: %d", w.Code)
	}
}

// TestLinksOut: a page shows nothing from beyond its folder.
func TestLinksOut(t *testing.T) {
	dir, address := start(t, map[string]string{"a.jsonnet": good, "real/a.json": `{"name":"x"}`})
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"a.out.ctx.json": outside, "a.in.ctx.json": filepath.Join("real", "a.json")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	for name, want := range map[string]int{"a.out.ctx.json": 404, "a.in.ctx.json": 200} {
		if status, body := call(t, http.MethodGet, address+"/ctx?file="+name, ""); status != want ||
			strings.Contains(body, "secret") {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
}

// states reads the events of a page.
func states(t *testing.T, handler http.Handler, target string) (next func() map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	reader, writer := io.Pipe()
	page := &streamedPage{ResponseRecorder: httptest.NewRecorder(), reader: writer}
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler.ServeHTTP(page, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
		writer.Close()
	}()
	t.Cleanup(func() { cancel(); reader.Close(); <-done })
	lines := bufio.NewScanner(reader)
	return func() (state map[string]any) {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &state); err != nil {
					t.Fatal(err)
				}
				return state
			}
		}
		t.Fatal("the stream ended: ", lines.Err())
		return nil
	}
}

// streamedPage passes on what is written to it when it is flushed. Unlike a connection, it lets a bubble's time go on.
type streamedPage struct {
	*httptest.ResponseRecorder
	reader io.Writer
}

func (p *streamedPage) FlushError() error {
	_, err := p.Body.WriteTo(p.reader)
	return err
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := write(t, map[string]string{
			"a.jsonnet": good, "a.ctx.json": "{}", "a.german.ctx.json": "{}", "a.b.jsonnet": good, "a.b.ctx.json": "{}",
			"alone.jsonnet": good, ".hidden/x.jsonnet": good, "node_modules/x.jsonnet": good, "stray.ctx.json": "{}",
			"below/c.jsonnet": good, "below/c.ctx.json": "{}",
		})
		next := states(t, preview.New(dir, open), "/events?template=a.jsonnet&ctx=a.ctx.json")
		state := next()
		templates, err := json.Marshal(state["templates"])
		if err != nil {
			t.Fatal(err)
		}
		const want = `[{"ctx":[{"name":"a.b.ctx.json","variant":""}],"name":"a.b.jsonnet"},{"ctx":[{"name":"a.ctx.json",` +
			`"variant":""},{"name":"a.german.ctx.json","variant":"german"}],"name":"a.jsonnet"},` +
			`{"ctx":[{"name":"below/c.ctx.json","variant":""}],"name":"below/c.jsonnet"},{"ctx":[],"name":"alone.jsonnet"}]`
		if string(templates) != want {
			t.Errorf("the list is %s", templates)
		}
		for _, save := range []struct{ file, text, changes string }{
			{"a.jsonnet", good + " ", "template"},
			{"a.ctx.json", `{"name":"x"}`, "ctx"},
			{"a.jsonnet", "broken\n1", "template"},
			{"a.jsonnet", "broken\n2", "template"},
			{"a.jsonnet", good, "template"},
		} {
			if err := os.WriteFile(filepath.Join(dir, save.file), []byte(save.text), 0o600); err != nil {
				t.Fatal(err)
			}
			before := state[save.changes]
			if state = next(); state[save.changes] == before || state[save.changes] == "" {
				t.Errorf("%s with %.10q: %v", save.file, save.text, state)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if state = next(); state["failed"] == nil {
			t.Errorf("without the folder: %v", state)
		}
	})
}
