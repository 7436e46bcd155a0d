package sandbox

import (
	"encoding/json"
	"net/http"
	"time"
)

// Call is one call of the API, for those who want to see their own repeats.
type Call struct {
	Time     time.Time `json:"time"`
	Endpoint string    `json:"endpoint"`
	// Status is that of the answer, or 0 where the connection was closed instead.
	Status int `json:"status"`
	// Name is that of Mandrill's error.
	Name string `json:"name,omitempty"`
	// To is whom a mail was for.
	To string `json:"to,omitempty"`
	// Took is how long the answer took, in milliseconds.
	Took int64 `json:"took"`
}

// maxCalls is how many calls are kept.
const maxCalls = 50

// called notes a call.
func (s *Sandbox) called(begun time.Time, endpoint string, body []byte, answer *notingWriter) {
	var request struct {
		Message struct {
			To []struct {
				Email string `json:"email"`
			} `json:"to"`
		} `json:"message"`
	}
	call := Call{Time: begun, Endpoint: endpoint, Status: answer.status, Took: time.Since(begun).Milliseconds()}
	if json.Unmarshal(body, &request) == nil && len(request.Message.To) > 0 {
		call.To = request.Message.To[0].Email
	}
	var problem struct {
		Name string `json:"name"`
	}
	if answer.status >= http.StatusBadRequest && json.Unmarshal(answer.body, &problem) == nil {
		call.Name = problem.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	s.calls = s.calls[max(0, len(s.calls)-maxCalls):]
	s.change()
}

// notingWriter notes an answer's status and, where it isn't a success, its body.
type notingWriter struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (n *notingWriter) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

func (n *notingWriter) Write(data []byte) (int, error) {
	if n.status >= http.StatusBadRequest {
		n.body = append(n.body, data...)
	}
	return n.ResponseWriter.Write(data)
}

func (n *notingWriter) Unwrap() http.ResponseWriter { return n.ResponseWriter }
