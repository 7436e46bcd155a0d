package sandbox

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

const (
	// maxMembers are kept; beyond it the ones that were changed least lately go.
	maxMembers = 10_000
	maxBody    = 1 << 20
	// maxConnections is how many calls may be made at once.
	maxConnections = 10
)

// Member is a person in an audience.
type Member struct {
	ID          string         `json:"id"`
	List        string         `json:"list_id"`
	Email       string         `json:"email_address"`
	Status      string         `json:"status"`
	MergeFields map[string]any `json:"merge_fields"`
	Interests   map[string]any `json:"interests"`
	Language    string         `json:"language"`
	Tags        []Tag          `json:"tags"`
	LastChanged time.Time      `json:"last_changed"`
}

// Tag is a tag that a person has.
type Tag struct {
	Name string `json:"name"`
}

// Sandbox is the stand-in. It may be used by several goroutines at once.
type Sandbox struct {
	handler http.Handler

	mu       sync.Mutex
	members  map[string]*Member
	failures mailchimp.FailureSwitch[Failure]
	calls    int
}

// New returns a sandbox with empty audiences.
func New() *Sandbox {
	s := &Sandbox{members: make(map[string]*Member)}
	// A page of another site must not change anything here.
	s.handler = http.NewCrossOriginProtection().Handler(s.routes())
	return s
}

// ServeHTTP answers as the API does.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Members returns all members, those of the latest change first.
func (s *Sandbox) Members() []Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := make([]Member, 0, len(s.members))
	for _, member := range s.members {
		members = append(members, member.copied())
	}
	slices.SortFunc(members, func(a, b Member) int {
		if order := b.LastChanged.Compare(a.LastChanged); order != 0 {
			return order
		}
		return strings.Compare(a.List+a.ID, b.List+b.ID)
	})
	return members
}

// Clear forgets all members, and the failures that are still to come.
func (s *Sandbox) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = make(map[string]*Member)
	s.failures.Clear()
}

func (m *Member) copied() Member {
	c := *m
	c.MergeFields, c.Interests, c.Tags = maps.Clone(m.MergeFields), maps.Clone(m.Interests), slices.Clone(m.Tags)
	return c
}

func hash(address string) string {
	digest := md5.Sum([]byte(strings.ToLower(address)))
	return hex.EncodeToString(digest[:])
}

// keep keeps a member, and makes room for it. s.mu is held.
func (s *Sandbox) keep(m *Member) {
	m.LastChanged = time.Now().UTC()
	s.members[m.List+"/"+m.ID] = m
	if len(s.members) <= maxMembers {
		return
	}
	oldest := m
	for _, other := range s.members {
		if other.LastChanged.Before(oldest.LastChanged) {
			oldest = other
		}
	}
	delete(s.members, oldest.List+"/"+oldest.ID)
}

func respond(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client is gone
}

// respondProblem answers as Mailchimp does where it refuses.
func respondProblem(w http.ResponseWriter, p *problem) {
	w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}

// problem is an answer other than success.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance"`
	Errors   []fieldProblem `json:"errors,omitempty"`
}

type fieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func refuse(status int, title, detail string, errors ...fieldProblem) *problem {
	return &problem{
		Type: "https://mailchimp.com/developer/marketing/docs/errors/", Title: title, Status: status, Detail: detail,
		Instance: "sandbox", Errors: errors,
	}
}
