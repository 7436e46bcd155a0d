package sandbox

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

//go:embed page
var embedded embed.FS

// LocalOnly refuses clients beyond loopback, Host headers that aren't this machine's, and what a proxy has forwarded.
func LocalOnly(next http.Handler) http.Handler {
	return view.LocalOnly(next, "Write allow_remote into the block of mandrill_sandbox to let others in.")
}

// page adds the inbox to the routes.
func (s *Sandbox) page(mux *http.ServeMux) {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	// Without JavaScript there is a plain list.
	inbox := template.Must(template.ParseFS(files, "inbox.html"))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var page bytes.Buffer
		if err := inbox.Execute(&page, summaries(s.Mails())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		view.Page(w, page.Bytes())
	})
	mux.Handle("GET /assets/{name}", view.Assets(files))
	mux.HandleFunc("GET /mail/{id}",
		s.withMail(func(w http.ResponseWriter, _ *Mail, mail *view.Mail, _ *mandrill.Message) {
			respond(w, http.StatusOK, mail)
		}))
	mux.HandleFunc("GET /mail/{id}/html",
		s.withMail(func(w http.ResponseWriter, _ *Mail, _ *view.Mail, filled *mandrill.Message) {
			view.Frame(w, filled.HTML, filled.Images)
		}))
	mux.HandleFunc("GET /mail/{id}/file/{n}", func(w http.ResponseWriter, r *http.Request) {
		s.withMail(func(w http.ResponseWriter, _ *Mail, _ *view.Mail, filled *mandrill.Message) {
			view.File(w, view.Files(filled), r.PathValue("n"))
		})(w, r)
	})
	mux.HandleFunc("GET /sandbox/find", s.findMails)
	mux.HandleFunc("GET /sandbox/events", s.events)
}

// withMail shows a mail as the recipient whose number is in the query gets it.
func (s *Sandbox) withMail(show func(http.ResponseWriter, *Mail, *view.Mail, *mandrill.Message)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		received := s.mail(r.PathValue("id"))
		if received == nil {
			http.Error(w, "there is no such mail", http.StatusNotFound)
			return
		}
		to, _ := strconv.Atoi(r.URL.Query().Get("to")) // else the first one
		mail, filled, err := view.NewMail(received.Request, to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		show(w, received, mail, filled)
	}
}

// findMails answers with the ids of the mails that hold all words of the query.
func (s *Sandbox) findMails(w http.ResponseWriter, r *http.Request) {
	words := strings.Fields(strings.ToLower(r.URL.Query().Get("q")))
	found := []string{}
	for _, mail := range s.Mails() {
		m := mail.Message
		held := []string{m.Subject, m.FromEmail, m.FromName, m.Text, m.HTML, strings.Join(m.Tags, " "), mail.Template}
		for _, r := range mail.Recipients {
			held = append(held, r.Email, r.Status, r.RejectReason)
		}
		text := strings.ToLower(strings.Join(held, "\n"))
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
			found = append(found, mail.ID)
		}
	}
	respond(w, http.StatusOK, found)
}

// summary is a mail in the list.
type summary struct {
	ID         string               `json:"id"`
	Time       time.Time            `json:"time"`
	From       string               `json:"from"`
	Subject    string               `json:"subject"`
	Template   string               `json:"template,omitempty"`
	Recipients []mandrill.Recipient `json:"recipients"`
}

func summaries(mails []*Mail) []summary {
	list := make([]summary, len(mails))
	for i, mail := range mails {
		list[i] = summary{mail.ID, mail.Time, mail.Message.FromEmail, mail.subject, mail.Template, mail.Recipients}
	}
	return list
}

// events tells a page what there is, and then of each change: "mails" are all, the newest first, "mail" are
// those that came since, and "state" are the failures to come and the last calls.
func (s *Sandbox) events(w http.ResponseWriter, r *http.Request) {
	stream := view.NewStream(w)
	stopping := view.Stopping(r)
	received, cleared := -1, 0
	for {
		s.mu.Lock()
		present := struct {
			received, cleared int
			mails             []*Mail
			changed           chan struct{}
		}{s.received, s.cleared, slices.Clone(s.mails), s.changed}
		state := map[string]any{
			"failures": s.pendingFailures(), "calls": append([]Call{}, s.calls...), "settings": s.settings,
		}
		s.mu.Unlock()
		slices.Reverse(present.mails)
		var err error
		switch arrived := present.received - received; {
		case received < 0 || present.cleared != cleared:
			err = stream.Send("mails", summaries(present.mails))
		case arrived > 0:
			err = stream.Send("mail", summaries(present.mails[:min(arrived, len(present.mails))]))
		}
		received, cleared = present.received, present.cleared
		if err == nil {
			err = stream.Send("state", state)
		}
		if err != nil {
			return // the page is gone
		}
		select {
		case <-present.changed:
		case <-stopping:
			return
		case <-r.Context().Done():
			return
		}
	}
}
