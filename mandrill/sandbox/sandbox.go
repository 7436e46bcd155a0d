// Package sandbox stands in for the API of Mailchimp Transactional (Mandrill), for development and
// tests: it answers as Mandrill does, delivers nothing, and shows what it received.
//
// It takes calls below messages/, users/, senders/, metadata/, webhooks/ and subaccounts/, below any path that ends in
// /api/1.0 or another 1.x, with or without .json. Any key is valid that doesn't begin with "invalid", all of them are
// keys of one account, and any template name is known.
//
// What it answers of a recipient depends on the address, as at Mandrill: reject@test.mandrillapp.com is
// rejected; hard_bounce@ and soft_bounce@ there are sent, and messages/info then says that they bounced;
// spam@ is sent, its complaint comes later. A sender domain below .invalid has no records, and its mail is
// rejected as unsigned. With async, or for more than 10 recipients, all are queued, and only
// messages/info shows rejections. Fail makes the next calls fail in other ways, Set makes the account less generous,
// and PostEvents has what becomes of mails posted to a webhook, as at Mandrill.
//
// It keeps the last 1,000 mails, and fewer where they take more than about 256 MiB together: each request is there
// twice, as it came and decoded. A request may have 25 MiB.
//
// Beside the API it has a page at /, and for programs:
//
//	GET    /sandbox/messages        all mails, the newest first
//	GET    /sandbox/messages/{id}   one mail
//	DELETE /sandbox/messages        forgets all mails
//	POST   /sandbox/fail            a Failure as JSON, for the next calls
//	DELETE /sandbox/fail            forgets the failures that are still to come
//	GET    /sandbox/settings        the Settings; PUT changes them
package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const (
	// maxMails is how many mails are kept; the oldest goes first.
	maxMails = 1000
	// maxBody is the size of a request, maxBytes that of all mails that are kept, in bytes.
	maxBody  = 25 << 20
	maxBytes = 256 << 20
)

// A Sandbox is an http.Handler that keeps the mails that it receives in memory. It may be used by
// several goroutines at once.
type Sandbox struct {
	handler http.Handler

	mu sync.Mutex
	// mails has the oldest one first.
	mails    []*Mail
	bytes    int
	received int
	cleared  int
	// changed is closed when anything here changes.
	changed  chan struct{}
	failures mailchimp.FailureSwitch[Failure]
	// recovered is when the account was last repaired.
	recovered time.Time
	// calls are the last ones of the API, the oldest one first.
	calls    []Call
	settings Settings
	// searches limits them, or is nil.
	searches *bucket

	// What the account has, the oldest first.
	domains     []string
	metadata    []metadataField
	subaccounts []*subaccount
	// hasSubaccounts says that a sub-account was added, even if it is deleted by now.
	hasSubaccounts bool
	webhooks       []*webhook
	lastWebhook    int
	// posters post events to some of the webhooks.
	posters []*poster
}

// Mail is one call of messages/send, messages/send-template or messages/send-mc-template that was not refused as a
// whole.
type Mail struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	// Endpoint is the call, such as messages/send.
	Endpoint string `json:"endpoint"`
	// Template is the name of the template at Mandrill that is filled.
	Template string `json:"template,omitempty"`
	// Request is the body of the call without its key.
	Request json.RawMessage `json:"request"`
	// Message is the part of it that says what the mail is.
	Message mandrill.Message `json:"-"`
	// Recipients are what was answered.
	Recipients []mandrill.Recipient `json:"recipients"`

	// subject is what the first recipient reads, for the list.
	subject string
	// sendAt is when it is to be sent, or zero.
	sendAt time.Time
	// announced are the recipients of whom webhooks were told. The sandbox's lock guards it.
	announced []bool
}

// size is about what a mail takes in memory, in bytes: its request, once more what is decoded from it, and what was
// answered.
func (m *Mail) size() int { return 2*len(m.Request) + 200*len(m.Recipients) }

// New returns a sandbox without mails.
func New() *Sandbox {
	s := &Sandbox{changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sandbox/messages", s.listMails)
	mux.HandleFunc("GET /sandbox/messages/{id}", s.showMail)
	mux.HandleFunc("DELETE /sandbox/messages", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /sandbox/fail", mailchimp.FailureHandler(s.Fail))
	mux.HandleFunc("DELETE /sandbox/fail", func(w http.ResponseWriter, _ *http.Request) {
		s.Recover()
		w.WriteHeader(http.StatusNoContent)
	})
	s.settingsRoutes(mux)
	s.page(mux)
	// A page of another site must not change anything here through somebody's browser.
	s.handler = http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if match := apiPath.FindStringSubmatch(r.URL.Path); match != nil {
			if r.Method != http.MethodPost {
				w.Header().Set("Allow", http.MethodPost)
				http.Error(w, "the API takes POST", http.StatusMethodNotAllowed)
				return
			}
			s.serveAPI(w, r, match[1])
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return s
}

var apiPath = regexp.MustCompile(`/api/1\.\d+/([a-z0-9-]+/[a-z0-9-]+)(?:\.json)?$`)

// ServeHTTP answers a call of the API, or shows the page.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handler.ServeHTTP(w, r)
}

// Mails returns what was received, the newest first.
func (s *Sandbox) Mails() []*Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	mails := slices.Clone(s.mails)
	slices.Reverse(mails)
	return mails
}

// Wait returns the mails when n of them have been received since New, or the context's error.
func (s *Sandbox) Wait(ctx context.Context, n int) ([]*Mail, error) {
	for {
		s.mu.Lock()
		received, changed := s.received, s.changed
		s.mu.Unlock()
		if received >= n {
			return s.Mails(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Clear forgets all mails. The account keeps its domains.
func (s *Sandbox) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails, s.bytes = nil, 0
	s.cleared++
	s.change()
}

// change tells those who wait that something changed. The lock is held.
func (s *Sandbox) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Sandbox) add(mail *Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, mail)
	s.bytes += mail.size()
	for len(s.mails) > maxMails || s.bytes > maxBytes {
		s.bytes -= s.mails[0].size()
		s.mails = slices.Delete(s.mails, 0, 1)
	}
	s.received++
	s.change()
}

func (s *Sandbox) mail(id string) *Mail {
	for _, mail := range s.Mails() {
		if mail.ID == id {
			return mail
		}
	}
	return nil
}

func (s *Sandbox) listMails(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, append([]*Mail{}, s.Mails()...))
}

func (s *Sandbox) showMail(w http.ResponseWriter, r *http.Request) {
	mail := s.mail(r.PathValue("id"))
	if mail == nil {
		http.Error(w, "there is no such mail", http.StatusNotFound)
		return
	}
	respond(w, http.StatusOK, mail)
}
