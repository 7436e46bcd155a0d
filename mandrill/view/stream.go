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

// NewStream begins an answer of events.
func NewStream(w http.ResponseWriter) *Stream {
	harden(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	s := &Stream{w, http.NewResponseController(w)}
	// A server's write timeout is for answers that end.
	_ = s.c.SetWriteDeadline(time.Time{}) // where it can't be set there is none
	return s
}

// Send sends an event with a value as JSON.
func (s *Stream) Send(event string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("sending the event %s: %w", event, err)
	}
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
			stopping.Delete(server)
			close(made)
		})
	}
	return channel.(chan struct{})
}
