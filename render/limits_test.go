package render_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// slow takes some seconds, and ends by itself.
const slow = `function(ctx) { a: std.foldl(function(sum, n) sum + n, std.range(1, ctx.n), 0) }`

func loadWithTimeout(t *testing.T, source string, timeout time.Duration) *render.Template {
	t.Helper()
	template, err := render.Load(filepath.Join(write(t, map[string]string{"t.jsonnet": source}), "t.jsonnet"), render.Options{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func kindOf(err error) render.Kind {
	var e *render.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// TestTimeout abandons evaluations until no more are begun, and waits for their end.
func TestTimeout(t *testing.T) {
	template := loadWithTimeout(t, slow, time.Millisecond)
	for n := range render.MaxAbandoned {
		started := time.Now()
		_, err := template.Render(t.Context(), map[string]any{"n": 200_000.0})
		if kindOf(err) != render.KindTimeout {
			t.Fatalf("evaluation %d after %v: %v", n, time.Since(started), err)
		}
	}
	if _, err := template.Render(t.Context(), map[string]any{"n": 1.0}); kindOf(err) != render.KindBusy {
		t.Errorf("one too many: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); render.Abandoned() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d evaluations still run", render.Abandoned())
		}
		time.Sleep(time.Millisecond)
	}
	patient := loadWithTimeout(t, slow, time.Minute)
	if _, err := patient.Render(t.Context(), map[string]any{"n": 10.0}); err != nil {
		t.Errorf("after they ended: %v", err)
	}
}

// TestWaitingEndsWithTheContext keeps all turns taken while another caller waits for one.
func TestWaitingEndsWithTheContext(t *testing.T) {
	template := loadWithTimeout(t, slow, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const callers = 100
	ends := make(chan error, callers)
	for range callers {
		go func() {
			_, err := template.Render(ctx, map[string]any{"n": 20_000.0})
			ends <- err
		}()
	}
	gaveUp := 0
	for range callers {
		if err := <-ends; errors.Is(err, context.Canceled) {
			gaveUp++
		} else if err != nil {
			t.Error(err)
		}
	}
	if gaveUp == 0 {
		t.Error("nobody gave up waiting")
	}
}
