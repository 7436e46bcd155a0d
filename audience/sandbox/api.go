package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// call is a call of the API. A problem is nil where it went well; a value of nil is 204.
type call func(r *http.Request, arguments arguments) (value any, p *problem)

// arguments are what calls may be given.
type arguments struct {
	Email       string          `json:"email_address"`
	Status      string          `json:"status"`
	StatusIfNew string          `json:"status_if_new"`
	MergeFields map[string]any  `json:"merge_fields"`
	Interests   map[string]bool `json:"interests"`
	Language    string          `json:"language"`
	Tags        []struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	} `json:"tags"`
}

func (s *Sandbox) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]call{
		"GET ping":                              s.ping,
		"GET lists/{list}":                      s.list,
		"GET lists/{list}/members":              s.membersOf,
		"POST lists/{list}/members":             s.add,
		"GET lists/{list}/members/{hash}":       s.get,
		"PUT lists/{list}/members/{hash}":       s.put,
		"PATCH lists/{list}/members/{hash}":     s.patch,
		"DELETE lists/{list}/members/{hash}":    s.archive,
		"GET lists/{list}/members/{hash}/tags":  s.tags,
		"POST lists/{list}/members/{hash}/tags": s.tag,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /3.0/"+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, answer) })
	}
	mux.HandleFunc("GET /3.0/{$}", s.page)
	mux.HandleFunc("POST /3.0/sandbox/unsubscribe", s.unsubscribe)
	mux.HandleFunc("POST /3.0/sandbox/forget", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		backToPage(w)
	})
	mux.HandleFunc("GET /3.0/sandbox/members", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, http.StatusOK, s.Members())
	})
	mux.HandleFunc("DELETE /3.0/sandbox/members", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /3.0/sandbox/fail", mailchimp.FailureHandler(s.Fail))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		respondProblem(w, refuse(http.StatusNotFound, "Resource Not Found", "The sandbox has no "+r.Method+" "+r.URL.Path))
	})
	return mux
}

// serve makes a call, or has it fail as it was told.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request, answer call) {
	s.mu.Lock()
	s.calls++
	crowded := s.calls > maxConnections
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.calls--
		s.mu.Unlock()
	}()
	failure := s.nextFailure()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || failure.before(w, r) {
		return
	}
	var a arguments
	var value any
	p := permit(r)
	switch {
	case crowded:
		p = refuse(http.StatusTooManyRequests, "Too Many Requests",
			"You have exceeded the limit of 10 simultaneous connections.")
	case p == nil && len(body) > 0 && json.Unmarshal(body, &a) != nil:
		p = refuse(http.StatusBadRequest, "Invalid Resource", "The resource submitted could not be validated.")
	case p == nil:
		value, p = answer(r, a)
	}
	if failure.Reset == "after" {
		mailchimp.CloseConnection()
	}
	switch {
	case p != nil:
		respondProblem(w, p)
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		respond(w, http.StatusOK, value)
	}
}

// permit looks at the key and the list.
func permit(r *http.Request) *problem {
	if _, key, ok := r.BasicAuth(); !ok || key == "" || strings.HasPrefix(key, "invalid") {
		return refuse(http.StatusUnauthorized, "API Key Invalid",
			"Your API key may be invalid, or you've attempted to access the wrong datacenter.")
	}
	if strings.HasPrefix(r.PathValue("list"), "unknown") {
		return notFound()
	}
	return nil
}

func notFound() *problem {
	return refuse(http.StatusNotFound, "Resource Not Found", "The requested resource could not be found.")
}

func (s *Sandbox) ping(*http.Request, arguments) (any, *problem) {
	return map[string]string{"health_status": "Everything's Chimpy!"}, nil
}

func (s *Sandbox) list(r *http.Request, _ arguments) (any, *problem) {
	subscribed := slices.DeleteFunc(s.Members(), func(m Member) bool {
		return m.List != r.PathValue("list") || m.Status != "subscribed"
	})
	return map[string]any{
		"id": r.PathValue("list"), "name": "Sandbox", "stats": map[string]int{"member_count": len(subscribed)},
	}, nil
}

func (s *Sandbox) membersOf(r *http.Request, _ arguments) (any, *problem) {
	members := slices.DeleteFunc(s.Members(), func(m Member) bool {
		return m.List != r.PathValue("list") || m.Status == "archived"
	})
	return map[string]any{"list_id": r.PathValue("list"), "members": members, "total_items": len(members)}, nil
}

func (s *Sandbox) add(r *http.Request, a arguments) (any, *problem) {
	r.SetPathValue("hash", hash(a.Email))
	s.mu.Lock()
	member := s.member(r)
	s.mu.Unlock()
	if member != nil && member.Status != "archived" {
		return nil, refuse(http.StatusBadRequest, "Member Exists", a.Email+
			" is already a list member. Use PUT to insert or update list members.")
	}
	return s.put(r, a)
}

func (s *Sandbox) get(r *http.Request, _ arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if member := s.member(r); member != nil {
		return member.copied(), nil
	}
	return nil, notFound()
}

// put adds a member or changes one.
func (s *Sandbox) put(r *http.Request, a arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	member := s.member(r)
	if member != nil {
		return s.change(member, a)
	}
	if r.Method == http.MethodPost {
		a.StatusIfNew = a.Status
	}
	a.Status = ""
	switch name, _, ok := strings.Cut(a.Email, "@"); {
	case !ok || name == "fake":
		return nil, refuse(http.StatusBadRequest, "Invalid Resource", a.Email+
			" looks fake or invalid, please enter a real email address.")
	case hash(a.Email) != r.PathValue("hash"):
		return nil, refuse(http.StatusBadRequest, "Invalid Resource", "The hash isn't that of the lower-cased address.")
	case name == "forgotten":
		return nil, refuse(http.StatusBadRequest, "Forgotten Email Not Subscribed", a.Email+
			" was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list.")
	case name == "compliance" && a.StatusIfNew == "subscribed":
		return nil, compliance(a.Email)
	case !slices.Contains([]string{"subscribed", "unsubscribed", "cleaned", "pending", "transactional"}, a.StatusIfNew):
		return nil, refuse(http.StatusBadRequest, "Invalid Resource", "The resource submitted could not be validated.",
			fieldProblem{"status_if_new", "Data did not match any of the schemas described in anyOf."})
	}
	return s.change(&Member{ID: r.PathValue("hash"), List: r.PathValue("list"), Email: a.Email, Status: a.StatusIfNew}, a)
}

func compliance(address string) *problem {
	return refuse(http.StatusBadRequest, "Member In Compliance State", address+
		" is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed.")
}

func (s *Sandbox) patch(r *http.Request, a arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if member := s.member(r); member != nil {
		return s.change(member, a)
	}
	return nil, notFound()
}

// change changes a member. s.mu is held.
func (s *Sandbox) change(m *Member, a arguments) (any, *problem) {
	if m.Status == "unsubscribed" && a.Status == "subscribed" {
		return nil, compliance(m.Email)
	}
	for tag, value := range a.MergeFields {
		switch value.(type) {
		case string, float64, map[string]any:
		default:
			return nil, refuse(http.StatusBadRequest, "Invalid Resource", "Your merge fields were invalid.",
				fieldProblem{tag, "This value should be a string."})
		}
	}
	changed := m.copied()
	if changed.MergeFields == nil {
		changed.MergeFields, changed.Interests, changed.Tags = map[string]any{}, map[string]any{}, []Tag{}
	}
	for tag, value := range a.MergeFields {
		changed.MergeFields[tag] = value
	}
	for id, on := range a.Interests {
		changed.Interests[id] = on
	}
	if a.Language != "" {
		changed.Language = a.Language
	}
	if a.Status != "" {
		changed.Status = a.Status
	}
	s.keep(&changed)
	return changed.copied(), nil
}

func (s *Sandbox) archive(r *http.Request, _ arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	member := s.member(r)
	switch {
	case member == nil:
		return nil, notFound()
	case member.Status == "archived":
		return nil, refuse(http.StatusMethodNotAllowed, "Method Not Allowed",
			"This list member cannot be removed. Please contact support.")
	}
	archived := member.copied()
	archived.Status = "archived"
	s.keep(&archived)
	return nil, nil
}

func (s *Sandbox) tags(r *http.Request, _ arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if member := s.member(r); member != nil {
		return map[string]any{"tags": slices.Clone(member.Tags), "total_items": len(member.Tags)}, nil
	}
	return nil, notFound()
}

func (s *Sandbox) tag(r *http.Request, a arguments) (any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	member := s.member(r)
	if member == nil {
		return nil, notFound()
	}
	tagged := member.copied()
	for _, tag := range a.Tags {
		tagged.Tags = slices.DeleteFunc(tagged.Tags, func(t Tag) bool { return t.Name == tag.Name })
		switch tag.Status {
		case "active":
			tagged.Tags = append(tagged.Tags, Tag{tag.Name})
		case "inactive":
		default:
			return nil, refuse(http.StatusBadRequest, "Invalid Resource", "The resource submitted could not be validated.",
				fieldProblem{"tags", "status must be active or inactive"})
		}
	}
	s.keep(&tagged)
	return nil, nil
}

// member is the one that a path names, or nil. s.mu is held.
func (s *Sandbox) member(r *http.Request) *Member {
	return s.members[r.PathValue("list")+"/"+r.PathValue("hash")]
}
