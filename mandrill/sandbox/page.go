package sandbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page.html
var pages embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"recipients": func(m *Mail) string {
		var addresses []string
		for _, recipient := range m.Recipients {
			addresses = append(addresses, recipient.Email)
		}
		return strings.Join(addresses, ", ")
	},
	"indent": func(data json.RawMessage) string {
		var indented bytes.Buffer
		if json.Indent(&indented, data, "", "  ") != nil {
			return string(data)
		}
		return indented.String()
	},
}).ParseFS(pages, "page.html"))

func (s *Sandbox) listPage(w http.ResponseWriter, _ *http.Request) {
	show(w, "list", s.Mails())
}

func (s *Sandbox) mailPage(w http.ResponseWriter, r *http.Request) {
	mail := s.mail(r.PathValue("id"))
	if mail == nil {
		http.Error(w, "there is no such mail", http.StatusNotFound)
		return
	}
	show(w, "mail", mail)
}

func show(w http.ResponseWriter, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	var body bytes.Buffer
	if err := page.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = body.WriteTo(w) // the client is gone
}

// mailHTML shows the HTML part in a frame: no script runs, and nothing is fetched.
func (s *Sandbox) mailHTML(w http.ResponseWriter, r *http.Request) {
	mail := s.mail(r.PathValue("id"))
	if mail == nil {
		http.Error(w, "there is no such mail", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(mail.Message.HTML)) // the client is gone
}
