package preview

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/lint"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

// ErrCancelled says that the template wants nothing to be sent.
var ErrCancelled = errors.New("the template cancelled: nothing is sent for this ctx")

// drawing is what the page shows of a template and a ctx.
type drawing struct {
	// ID is that of the mail's frame.
	ID        int             `json:"id,omitempty"`
	Mail      *view.Mail      `json:"mail,omitempty"`
	Change    json.RawMessage `json:"change,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Cancelled bool            `json:"cancelled,omitempty"`
	Problem   *Problem        `json:"problem,omitempty"`
}

// draw evaluates a template over the ctx that the page has, saved or not.
func (p *Preview) draw(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the body must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	var asked struct {
		Template string `json:"template"`
		Ctx      string `json:"ctx"`
		// To is the number of the recipient for whom merge tags are filled.
		To int `json:"to"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&asked); err != nil {
		http.Error(w, "the body is not valid, or larger than 4 MiB", http.StatusBadRequest)
		return
	}
	templates, err := p.list()
	if err != nil || !hasTemplate(templates, asked.Template) {
		http.Error(w, "there is no such template", http.StatusNotFound)
		return
	}
	file := p.path(asked.Template)
	drawn, err := p.drawing(r.Context(), file, []byte(asked.Ctx), asked.To)
	if err != nil {
		drawn = &drawing{Cancelled: errors.Is(err, ErrCancelled), Problem: describe(err, file, asked.Ctx)}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(drawn) // the client is gone
}

func (p *Preview) drawing(ctx context.Context, file string, body []byte, to int) (*drawing, error) {
	template, err := p.open(file)
	if err != nil {
		return nil, err
	}
	result, err := template.Result(ctx, body)
	if err != nil {
		return nil, err
	}
	if result.Change != nil {
		return &drawing{Change: result.Change}, nil
	}
	warnings := result.Notes
	mail, filled, err := view.NewMail(result.Request, to)
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := json.Unmarshal(body, &data); err != nil {
		return nil, err
	}
	if mail.Template == "" {
		asRead := *filled
		asRead.Subject, asRead.Text = mail.Subject, mail.Text
		warnings = append(warnings, lint.Check(&asRead)...)
	}
	warnings = append(warnings,
		lint.Input(data, func(changed any) ([]byte, error) { return template.Message(ctx, changed) })...)
	return &drawing{ID: p.keep(filled), Mail: mail, Warnings: warnings}, nil
}

// describe adds an excerpt to an error.
func describe(err error, file, ctx string) *Problem {
	var located *Problem
	if !errors.As(err, &located) {
		return &Problem{File: file, Message: err.Error()}
	}
	problem := *located
	source := ctx
	if problem.File != "" {
		data, err := os.ReadFile(problem.File)
		if err != nil {
			return &problem // a file of the library has no path
		}
		source = string(data)
	}
	if problem.Line == 0 && problem.Field != "" {
		problem.Line = lineOfField(source, problem.Field)
	}
	problem.Excerpt = excerpt(source, problem.Line)
	return &problem
}

var lastName = regexp.MustCompile(`([A-Za-z_][\w-]*)"?\]?(?:\[\d+\])*$`)

// lineOfField returns the only line that sets a field of this name, or 0.
func lineOfField(source, field string) int {
	name := lastName.FindStringSubmatch(field)
	if name == nil {
		return 0
	}
	sets := regexp.MustCompile(`(?:^|[\s{,'"\[])` + regexp.QuoteMeta(name[1]) + `['"]?\]?\s*\+?:`)
	line := 0
	for i, text := range strings.Split(source, "\n") {
		if !sets.MatchString(text) {
			continue
		}
		if line > 0 {
			return 0
		}
		line = i + 1
	}
	return line
}

// excerpt returns the lines around one.
func excerpt(source string, line int) []Line {
	lines := strings.Split(source, "\n")
	if line < 1 || line > len(lines) {
		return nil
	}
	var around []Line
	for n := max(1, line-3); n <= min(len(lines), line+3); n++ {
		text := strings.TrimRight(lines[n-1], "\r")
		if len(text) > 500 {
			text = strings.ToValidUTF8(text[:500], "") + "…"
		}
		around = append(around, Line{n, text})
	}
	return around
}
