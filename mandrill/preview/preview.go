// Package preview is the page that draws the mails of a folder's templates while somebody writes them. It lists
// each template with its ctx files, name.ctx.json and name.VARIANT.ctx.json, and redraws what is saved. How a
// template is evaluated and checked is its caller's.
package preview

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strconv"
	"sync"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

//go:embed page
var embedded embed.FS

const (
	// maxBody is the size of a ctx that the page sends, in bytes.
	maxBody = 4 << 20
	// maxDrawn is how many mails are kept for their frames: a page asks for its own at once.
	maxDrawn = 64
)

// A Template is a template as it lies on disk now. Errors that have a place are *Problem.
type Template interface {
	// Version is another one when the template or what it imports is another.
	Version() string
	// Result evaluates the template over a ctx file's contents.
	Result(ctx context.Context, body []byte) (Result, error)
	// Message evaluates the template over a decoded ctx, and returns what it does.
	Message(ctx context.Context, data any) ([]byte, error)
}

// Result is what a template returned, checked: one of Request and Change.
type Result struct {
	// Request is the mail that would be sent.
	Request json.RawMessage
	// Change is what a template of mailchimp_audience would change in its audience.
	Change json.RawMessage
	// Notes are what else the template's author should know.
	Notes []string
}

// Problem says what is wrong, and where.
type Problem struct {
	// File is the file's path, or empty where it is ctx.
	File string `json:"file"`
	// Line and Column begin with 1; they are 0 where the place isn't known.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Field is the message's field that is wrong, where it is one.
	Field   string `json:"field"`
	Message string `json:"message"`
	// Excerpt is what stands around the line.
	Excerpt []Line `json:"excerpt"`
}

// Line is a line of an excerpt.
type Line struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

func (p *Problem) Error() string { return p.Message }

// Preview is an http.Handler for the page. It may be used by several goroutines at once.
type Preview struct {
	dir     string
	open    func(file string) (Template, error)
	handler http.Handler

	mu    sync.Mutex
	drawn map[int]*mandrill.Message
	last  int
}

// New returns the page for the templates in a folder and below. Open opens one by its path, which begins with dir.
func New(dir string, open func(file string) (Template, error)) *Preview {
	p := &Preview{dir: dir, open: open, drawn: make(map[int]*mandrill.Message)}
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	index, err := fs.ReadFile(files, "preview.html")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { view.Page(w, index) })
	mux.Handle("GET /assets/{name}", view.Assets(files))
	mux.HandleFunc("GET /ctx", p.showCtx)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("POST /draw", p.draw)
	mux.HandleFunc("GET /drawn/{id}/html", func(w http.ResponseWriter, r *http.Request) {
		if m := p.find(w, r); m != nil {
			view.Frame(w, m.HTML, m.Images)
		}
	})
	mux.HandleFunc("GET /drawn/{id}/file/{n}", func(w http.ResponseWriter, r *http.Request) {
		if m := p.find(w, r); m != nil {
			view.File(w, view.Files(m), r.PathValue("n"))
		}
	})
	// A page of another site must not make this machine evaluate its ctx.
	p.handler = http.NewCrossOriginProtection().Handler(mux)
	return p
}

// ServeHTTP shows the page and what it asks for.
func (p *Preview) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// keep keeps a mail for its frame.
func (p *Preview) keep(m *mandrill.Message) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	p.drawn[p.last] = m
	delete(p.drawn, p.last-maxDrawn)
	return p.last
}

func (p *Preview) find(w http.ResponseWriter, r *http.Request) *mandrill.Message {
	id, _ := strconv.Atoi(r.PathValue("id")) // there is no 0
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.drawn[id]
	if m == nil {
		http.Error(w, "this mail is no longer kept", http.StatusNotFound)
	}
	return m
}

// showCtx answers with a ctx file, as it lies on disk.
func (p *Preview) showCtx(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("file")
	templates, err := p.list()
	if err != nil || !hasCtx(templates, name) {
		http.Error(w, "there is no such ctx", http.StatusNotFound)
		return
	}
	data, err := p.read(name)
	if err != nil {
		http.Error(w, "the ctx can't be read", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(data) // the client is gone
}
