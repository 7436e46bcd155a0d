package view

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A Stream sends events to a page (server-sent events).
type Stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// sendTimeout is how long a page may take an event: what waits for one that doesn't read notices no shutdown.
const sendTimeout = 10 * time.Second

// NewStream begins an answer of events.
func NewStream(w http.ResponseWriter) *Stream {
	harden(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	s := &Stream{w, http.NewResponseController(w)}
	s.limit(time.Time{})
	return s
}

// limit sets when writing fails. It replaces a server's write timeout, which is for answers that end.
func (s *Stream) limit(deadline time.Time) {
	_ = s.c.SetWriteDeadline(deadline) // where it can't be set there is none
}

// Send sends an event with a value as JSON.
func (s *Stream) Send(event string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("sending the event %s: %w", event, err)
	}
	s.limit(time.Now().Add(sendTimeout))
	// With HTTP/2 a deadline that passes between two events ends the stream.
	defer s.limit(time.Time{})
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, data); err != nil {
		return err
	}
	return s.c.Flush()
}

// stopping has a channel for each *http.Server that is asked for.
var stopping sync.Map

// Stopping returns a channel that is closed when the request's server shuts down: a server waits for its
// answers to end, and a stream has no end of its own.
func Stopping(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	made := make(chan struct{})
	channel, known := stopping.LoadOrStore(server, made)
	if !known {
		server.RegisterOnShutdown(func() {
			close(made)
			// A request that came just before asks for it a little later.
			time.AfterFunc(time.Minute, func() { stopping.Delete(server) })
		})
	}
	return channel.(chan struct{})
}
