package preview

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
)

// pollInterval is how often the files are looked at while a page is open.
const pollInterval = 300 * time.Millisecond

// state is what a page compares: each part is another one when that part changed.
type state struct {
	Templates []listed `json:"templates"`
	// Failed says why the folder can't be listed.
	Failed   string `json:"failed,omitempty"`
	Template string `json:"template"`
	Ctx      string `json:"ctx"`
}

// events sends the state to a page when it changes.
func (p *Preview) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	stream := view.NewStream(w)
	stopping := view.Stopping(r)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	before := ""
	for {
		present := p.look(query.Get("template"), query.Get("ctx"))
		if now := fmt.Sprintf("%q", present); now != before {
			before = now
			if stream.Send("state", present) != nil {
				return // the page is gone
			}
		}
		select {
		case <-ticker.C:
		case <-stopping:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// look reads what a page shows.
func (p *Preview) look(template, ctx string) state {
	templates, err := p.list()
	present := state{Templates: append([]listed{}, templates...)}
	if err != nil {
		present.Failed = err.Error()
	}
	if hasTemplate(templates, template) {
		present.Template = p.version(p.path(template))
	}
	if hasCtx(templates, ctx) {
		if data, err := p.read(ctx); err == nil {
			digest := sha256.Sum256(data)
			present.Ctx = hex.EncodeToString(digest[:8])
		}
	}
	return present
}

// version is that of the template, or its error.
func (p *Preview) version(file string) string {
	opened, err := p.open(file)
	if err == nil {
		return opened.Version()
	}
	// The excerpt may be another while the error is the same.
	problem := describe(err, file, "")
	text := problem.File + problem.Message
	for _, line := range problem.Excerpt {
		text += "\n" + line.Text
	}
	return text
}
