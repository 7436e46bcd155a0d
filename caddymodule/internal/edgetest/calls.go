package edgetest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Answer is what a call got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// errorForm is the body of an error, in Ory's form.
type errorForm struct {
	Messages []struct {
		Pointer  string `json:"instance_ptr"`
		Messages []struct {
			ID      int               `json:"id"`
			Text    string            `json:"text"`
			Type    string            `json:"type"`
			Context map[string]string `json:"context"`
		} `json:"messages"`
	} `json:"messages"`
}

// ID returns the number of the error form's message, or 0 if the body is no such form. The last message is that of the
// form as a whole.
func (a Answer) ID() int {
	var form errorForm
	last := len(a.Pointers()) - 1
	if json.Unmarshal([]byte(a.Body), &form) != nil ||
		last < 0 || form.Messages[last].Pointer != "#/" || len(form.Messages[last].Messages) != 1 {
		return 0
	}
	message := form.Messages[last].Messages[0]
	if message.Text == "" || message.Type != "error" || message.Context["reference"] == "" {
		return 0
	}
	return message.ID
}

// Pointers returns what the error form's messages point at.
func (a Answer) Pointers() (pointers []string) {
	var form errorForm
	if json.Unmarshal([]byte(a.Body), &form) != nil {
		return nil
	}
	for _, messages := range form.Messages {
		pointers = append(pointers, messages.Pointer)
	}
	return pointers
}

// Reference returns what ties the answer to its log line.
func (a Answer) Reference() string {
	_, reference, _ := strings.Cut(a.Body, `"reference":"`)
	reference, _, _ = strings.Cut(reference, `"`)
	return reference
}

// Entry returns the id of the entry that the call made.
func (a Answer) Entry() string { return a.Header.Get("Outbox-Entry") }

// Post calls the hook as Ory does, but for what the changes change, which may be nil.
func (e *Edge) Post(body string, changes ...func(*http.Request)) Answer {
	e.T.Helper()
	r, err := http.NewRequestWithContext(e.T.Context(), http.MethodPost, e.URL, strings.NewReader(body))
	if err != nil {
		e.T.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Hook-Key", HookKey)
	for _, change := range changes {
		if change != nil {
			change(r)
		}
	}
	got, err := e.Do(r)
	if err != nil {
		e.T.Error(err)
	}
	return got
}

// Header is a change of a request: it sets a header, or removes it if the value is empty.
func Header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}
}

// Do makes a request: up to three times if the connection breaks, as it may in a reload.
func (e *Edge) Do(r *http.Request) (Answer, error) {
	answer, err := http.DefaultClient.Do(r)
	for again := 0; err != nil && r.Context().Err() == nil && again < 2; again++ {
		// Others that idle were closed too.
		http.DefaultClient.CloseIdleConnections()
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return Answer{}, err
			}
		}
		answer, err = http.DefaultClient.Do(r)
	}
	if err != nil {
		return Answer{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return Answer{answer.StatusCode, answer.Header, string(body)}, err
}

// Call makes a request of a path at an address, as the admin endpoint's.
func (e *Edge) Call(address, method, path, body string) Answer {
	e.T.Helper()
	r, err := http.NewRequestWithContext(e.T.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		e.T.Fatal(err)
	}
	got, err := e.Do(r)
	if err != nil {
		e.T.Fatal(err)
	}
	return got
}

// Metric returns the value of the first metric whose line begins with the name, or an empty string.
func (e *Edge) Metric(name string) string {
	e.T.Helper()
	for line := range strings.Lines(e.Call(e.Address, http.MethodGet, "/metrics", "").Body) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Number returns a metric's value, or 0 if there is none yet.
func (e *Edge) Number(name string) float64 {
	n, _ := strconv.ParseFloat(e.Metric(name), 64)
	return n
}
