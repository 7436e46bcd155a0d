package ory

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shapes are what bodies can be full of that takes much memory.
var shapes = []string{
	`{}`, `{"":0}`, `{"":{}}`, `{"":[]}`, `{"":""}`, `{"":{"":{}}}`, `{"":[{}]}`, `[{}]`, `[]`, `[0]`, `[[]]`, `0`, `1e9`,
	`""`, `"\n"`, `{"a":1000}`,
}

// TestHeldPerByte measures what decoded bodies take.
func TestHeldPerByte(t *testing.T) {
	for _, shape := range shapes {
		body := `{"a":[` + strings.Repeat(shape+",", 500_000/len(shape)) + `0]}`
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ctx, problem := DecodeCtx(body)
		runtime.GC()
		runtime.ReadMemStats(&after)
		perByte := 1 + float64(after.HeapAlloc-before.HeapAlloc)/float64(len(body))
		if problem != nil || perByte > heldPerByte {
			t.Errorf("%s takes %.1f bytes for each of its own", shape, perByte)
		}
		t.Logf("%-12s %.1f", shape, perByte)
		runtime.KeepAlive(ctx)
	}
}

// TestMemory holds calls until there is memory for them.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rd := &Reader{MaxBody: 1_000_000, Memory: NewMemory(2 * 64 * 1_000_000)}
		rd.Auth.Off()
		read := func(ctx context.Context, body io.Reader) (*Hook, *Error) {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
			r.Header.Set("Content-Type", "application/json")
			return rd.Read(r)
		}
		hook := func(length int) io.Reader { return strings.NewReader(`{"a":"` + strings.Repeat("x", length-8) + `"}`) }
		large, problem := read(t.Context(), hook(990_000))
		if problem != nil {
			t.Fatal(problem)
		}
		began := time.Now()
		// Wrapped, its length is not known: it may be as large as any.
		for _, body := range []io.Reader{hook(990_000), io.MultiReader(hook(100))} {
			if _, problem := read(t.Context(), body); problem != ErrBusy {
				t.Errorf("beside a large one: %v", problem)
			}
		}
		if waited := time.Since(began); waited != 2*memoryPatience {
			t.Errorf("waited for %v", waited)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, problem := read(gone, hook(990_000)); problem != ErrBusy || time.Since(began) != 2*memoryPatience {
			t.Errorf("a caller that is gone: %v", problem)
		}
		small, problem := read(t.Context(), hook(smallBody))
		if problem != nil {
			t.Fatalf("a small one: %v", problem)
		}
		small.Release()
		if _, problem := read(t.Context(), strings.NewReader("{")); problem != ErrNotJSON {
			t.Errorf("a bad one: %v", problem)
		}
		time.AfterFunc(time.Second, large.Release)
		if large, problem = read(t.Context(), hook(990_000)); problem != nil {
			t.Fatalf("after another one: %v", problem)
		}
		large.Release()
		for _, all := range []interface{ TryAcquire(int64) bool }{rd.Memory.small, rd.Memory.large} {
			if !all.TryAcquire(rd.Memory.most) {
				t.Error("not all is given back")
			}
		}
	})
}

// TestMemoryOfAHugeBody lets a body through that may take more than there is, alone.
func TestMemoryOfAHugeBody(t *testing.T) {
	m := NewMemory(2000)
	for _, length := range []int64{1, 1 << 20, 1 << 60, -1} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.ContentLength = length
		release, ok := m.take(r, 1<<40)
		if !ok {
			t.Fatalf("%d bytes find no memory", length)
		}
		if length != 1 && m.large.TryAcquire(1) {
			t.Errorf("%d bytes leave memory to others", length)
		}
		release()
	}
}
