package mailchimp

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
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const sent = `{"key":"s3cret","to":"ada@example.net"}`

func newCaller(t testing.TB, base string) *Caller {
	t.Helper()
	c, err := NewCaller(Settings{BaseURL: base, IdleConnections: 1, MaxAnswer: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (c *Caller) post(ctx context.Context, t *testing.T) (*Answer, error) {
	t.Helper()
	request, err := c.NewRequest(ctx, http.MethodPost, "send", []byte(sent))
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(request)
}

// listen returns the address of a server that serves one connection after the other.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
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

func readRequest(c net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// answering reads a request and writes a text, which need not be HTTP.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		fmt.Fprint(c, text)
	}
}

// TestBrokenConnections tells a request that was never written from one that may have been.
func TestBrokenConnections(t *testing.T) {
	for _, test := range []struct {
		name    string
		base    string
		written bool
	}{
		{"nobody listens", "http://127.0.0.1:1", false},
		// A label that is too long is not looked up.
		{"no such host", "http://" + strings.Repeat("x", 64) + ".invalid", false},
		{"no TLS there", strings.Replace(listen(t, readRequest), "http:", "https:", 1), false},
		{"closed after the request", listen(t, readRequest), true},
		{"closed within the headers", listen(t, answering("HTTP/1.1 200 OK\r\nContent-")), true},
		{"closed within the body", listen(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{")), true},
		{"the request comes back", listen(t, func(c net.Conn) { _, _ = io.CopyN(c, c, int64(len(sent))) }), true},
		{"the body comes back as a header", listen(t, func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
				_, _ = io.Copy(c, r.Body)
				fmt.Fprint(c, "\r\n\r\n")
			}
		}), true},
		{"not HTTP", listen(t, answering("220 smtp.example.com ESMTP\r\n")), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, err := newCaller(t, test.base).post(t.Context(), t)
			if err == nil && answer.BrokenOff != nil {
				err = answer.BrokenOff
			}
			var got *ConnectionError
			if !errors.As(err, &got) || got.Written != test.written {
				t.Fatalf("got %v", err)
			}
			for _, secret := range []string{"s3cret", "ada@", "/send"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error repeats the request: %v", err)
				}
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		timeout      time.Duration
		written      bool
		cause        error
	}{
		{"no answer", "", time.Second, true, context.DeadlineExceeded},
		{"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{", time.Second, true, context.DeadlineExceeded},
		{"over before it began", "", 0, false, context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, "http://example.com")
				c.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						answering(test.answer)(theirs)
						_, _ = theirs.Read(make([]byte, 1)) // until the caller closes the connection
						theirs.Close()
					}()
					return ours, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				if test.timeout == 0 {
					ctx, cancel = context.WithCancel(t.Context())
					cancel()
				}
				answer, err := c.post(ctx, t)
				if err == nil && answer.BrokenOff != nil {
					err = answer.BrokenOff
				}
				var got *ConnectionError
				if !errors.As(err, &got) || got.Written != test.written || !errors.Is(err, test.cause) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// brokenConn is a connection that was kept and is gone when it is used again.
type brokenConn struct {
	net.Conn
	gone *atomic.Bool
}

func (c brokenConn) Write(data []byte) (int, error) {
	if c.gone.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(data)
}

// TestLostConnection: a request of which nothing could be written has not reached the API.
func TestLostConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	c := newCaller(t, server.URL)
	var gone atomic.Bool
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if gone.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, to)
		return brokenConn{conn, &gone}, err
	}
	if _, err := c.post(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	gone.Store(true)
	var failure *ConnectionError
	if _, err := c.post(t.Context(), t); !errors.As(err, &failure) || failure.Written ||
		!errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}
