package mandrill_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestBrokenConnections tells a message that was never written from one that may have been.
func TestBrokenConnections(t *testing.T) {
	listen := func(serve func(net.Conn)) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				serve(connection)
				connection.Close()
			}
		}()
		t.Cleanup(func() { listener.Close(); <-done })
		return "http://" + listener.Addr().String()
	}
	readRequest := func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}
	for _, test := range []struct {
		name string
		base string
		kind mandrill.Kind
	}{
		{"nobody listens", "http://127.0.0.1:1", mandrill.Retry},
		// A label that is too long is not looked up.
		{"no such host", "http://" + strings.Repeat("x", 64) + ".invalid", mandrill.Retry},
		{"no TLS there", strings.Replace(listen(func(c net.Conn) { readRequest(c) }), "http:", "https:", 1), mandrill.Retry},
		{"closed after the request", listen(readRequest), mandrill.Unknown},
		{"closed within the headers", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-") }), mandrill.Unknown},
		{"closed within the body", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{") }), mandrill.Unknown},
		{"the request comes back", listen(func(c net.Conn) { _, _ = io.CopyN(c, c, int64(len(message("")))) }), mandrill.Unknown},
		{"the body comes back as a header", listen(func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
				_, _ = io.Copy(c, r.Body)
				fmt.Fprint(c, "\r\n\r\n")
			}
		}), mandrill.Unknown},
		{"not HTTP", listen(func(c net.Conn) { readRequest(c); fmt.Fprint(c, "220 smtp.example.com ESMTP\r\n") }), mandrill.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client(t, test.base).Send(t.Context(), request(t, message("")))
			var got *mandrill.Error
			if !errors.As(err, &got) || got.Kind != test.kind {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "ada@")) {
				t.Errorf("the error repeats the request: %v", err)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	hang := func(head string) *mandrill.Client {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if head != "" {
				_, _ = io.WriteString(w, head)
				_ = http.NewResponseController(w).Flush()
			}
			<-release
		}))
		t.Cleanup(server.Close)
		return client(t, server.URL)
	}
	silent, halting := hang(""), hang(`[{"email":`)
	t.Cleanup(func() { close(release) })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name   string
		client *mandrill.Client
		ctx    context.Context
		kind   mandrill.Kind
		cause  error
	}{
		{"no answer", silent, nil, mandrill.Unknown, context.DeadlineExceeded},
		{"half an answer", halting, nil, mandrill.Unknown, context.DeadlineExceeded},
		{"over before it began", silent, over, mandrill.Retry, context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
			}
			_, err := test.client.Send(ctx, request(t, message("")))
			var got *mandrill.Error
			if !errors.As(err, &got) || got.Kind != test.kind || !errors.Is(err, test.cause) {
				t.Errorf("got %v", err)
			}
		})
	}
}
