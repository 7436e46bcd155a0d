package caddymodule

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// unread fails if somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

// TestUnsignedBodies reads nothing of a call that cannot be signed.
func TestUnsignedBodies(t *testing.T) {
	signature := mandrill.Signature("key", "https://hooks.example.com/mandrill", nil)
	for _, test := range []struct {
		signature string
		length    int64
		status    int
	}{
		{"", 100, 401},
		{"x", 100, 401},
		{strings.TrimSuffix(signature, "="), 100, 401},
		{signature + "A", 100, 401},
		{strings.Repeat("?", 28), 100, 401},
		{signature, maxEventsBody + 1, 413},
	} {
		h := &Events{app: &App{metrics: newMetrics()}, logger: zap.NewNop()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", unread{t})
		r.ContentLength = test.length
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Mandrill-Signature", test.signature)
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, r, nil); err != nil || w.Code != test.status {
			t.Errorf("%q, %d bytes: %d, %v", test.signature, test.length, w.Code, err)
		}
	}
}

// zeros is a body of some length.
type zeros struct{ left int }

func (z *zeros) Read(to []byte) (int, error) {
	n := min(z.left, len(to))
	if z.left -= n; z.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

// TestHeldBodies bounds what all bodies take together, and gives back what they took.
func TestHeldBodies(t *testing.T) {
	full := func() bool {
		free := eventsHeld.TryAcquire(maxEventsHeld)
		if free {
			eventsHeld.Release(maxEventsHeld)
		}
		return !free
	}
	for _, test := range []struct {
		length, announced, takes int
		want                     error
	}{
		{0, 0, smallestRoom, nil},
		{1, 1, smallestRoom, nil},
		{smallestRoom, smallestRoom, smallestRoom, nil},
		{smallestRoom + 1, smallestRoom + 1, 2 * smallestRoom, nil},
		{maxEventsBody, maxEventsBody, maxEventsBody, nil},
		{1, -1, maxEventsBody, nil},
		{maxEventsBody + 1, -1, maxEventsBody, errEventsTooLarge},
	} {
		held := new(heldBody)
		err := held.read(&zeros{left: test.length}, int64(test.announced))
		if !errors.Is(err, test.want) || cap(held.data) != test.takes || err == nil && len(held.data) != test.length {
			t.Errorf("%+v: %v, %d bytes take %d", test, err, len(held.data), cap(held.data))
		}
		if !full() {
			t.Errorf("%+v: nothing is counted", test)
		}
		held.release()
		if full() {
			t.Fatalf("%+v: not all is given back", test)
		}
	}
	first, second := new(heldBody), new(heldBody)
	err := first.read(&zeros{left: maxEventsBody}, maxEventsBody)
	busy := second.read(&zeros{left: maxEventsBody}, maxEventsBody)
	if err != nil || !errors.Is(busy, errEventsBusy) {
		t.Errorf("two at once: %v, %v", err, busy)
	}
	second.release()
	small := new(heldBody)
	if err := small.read(bytes.NewReader(make([]byte, 100_000)), 100_000); err != nil {
		t.Errorf("a small one beside a large one: %v", err)
	}
	small.release()
	first.release()
	if full() {
		t.Error("not all is given back")
	}
}

// TestStalledBodies ends calls whose bodies don't arrive, signed or not.
func TestStalledBodies(t *testing.T) {
	bodyTimeout = 200 * time.Millisecond
	t.Cleanup(func() { bodyTimeout = 10 * time.Second })
	h := &Events{app: &App{metrics: newMetrics()}, logger: zap.NewNop()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = h.ServeHTTP(w, r, nil)
	}))
	t.Cleanup(server.Close)
	for signature, want := range map[string]int{
		"": 401, mandrill.Signature("key", "https://hooks.example.com/mandrill", nil): 400,
	} {
		for _, length := range []int{10, 7 << 20} {
			connection, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { connection.Close() })
			_, _ = fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
				"X-Mandrill-Signature: %s\r\nContent-Length: %d\r\n\r\nm", signature, length)
			_ = connection.SetReadDeadline(time.Now().Add(5 * time.Second))
			from := bufio.NewReader(connection)
			answer, err := http.ReadResponse(from, nil)
			if err != nil || answer.StatusCode != want {
				t.Fatalf("signed %q, %d bytes: %v, %v", signature, length, answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("signed %q, %d bytes: the connection stays open: %v", signature, length, err)
			}
		}
	}
}
