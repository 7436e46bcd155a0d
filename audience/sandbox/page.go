package sandbox

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page shows the members.
func (s *Sandbox) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	w.Header().Set("Cache-Control", "no-store")
	_ = pageTemplate.Execute(w, s.Members()) // the client is gone
}

// unsubscribe does what a person does by a campaign's link.
func (s *Sandbox) unsubscribe(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	r.SetPathValue("list", r.PostFormValue("list"))
	r.SetPathValue("hash", r.PostFormValue("id"))
	if _, p := s.patch(r, arguments{Status: "unsubscribed"}); p != nil {
		respondProblem(w, p)
		return
	}
	backToPage(w)
}

// backToPage leads from a form of the page to the page, relatively: a prefix may be stripped.
func backToPage(w http.ResponseWriter) {
	w.Header().Set("Location", "../")
	w.WriteHeader(http.StatusSeeOther)
}
