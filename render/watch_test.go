package render_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

// watched is a template under Watch, in a bubble of synctest.
type watched struct {
	t        *testing.T
	folder   string
	template *render.Template
	stop     func()
	mu       sync.Mutex
	changes  []error
}

func watch(t *testing.T, files map[string]string, o render.Options) *watched {
	t.Helper()
	w := &watched{t: t, folder: write(t, files)}
	w.start(o)
	return w
}

func (w *watched) start(o render.Options) {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
	}
	template, err := render.Load(filepath.Join(w.folder, "t.jsonnet"), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.template, w.changes = template, nil
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		template.Watch(ctx, func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes = append(w.changes, err)
		})
	}()
	w.stop = func() { cancel(); <-done }
	w.t.Cleanup(w.stop)
	synctest.Wait()
}

func (w *watched) put(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// settle lets the watcher look once.
func (w *watched) settle() {
	time.Sleep(render.PollInterval)
	synctest.Wait()
}

func (w *watched) expect(output string, changes int) {
	w.t.Helper()
	w.settle()
	got, err := w.template.Render(w.t.Context(), map[string]any{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if plainly(w.t, got).(map[string]any)["a"] != output || len(w.changes) != changes {
		w.t.Fatalf("got %v, changes %v", got, w.changes)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, map[string]string{"t.jsonnet": `function(ctx) { a: import 'lib/a' }`, "lib/a": `'one'`},
			render.Options{})
		first := w.template.Status()
		w.expect("one", 0)

		w.put("lib/a", `'two'`) // as long as before, and perhaps in the same tick of the clock
		w.expect("two", 1)
		second := w.template.Status()
		if first.Version == second.Version {
			t.Error("the version is the same")
		}

		w.put("lib/a", `'three`)
		w.expect("two", 2)
		if err := w.template.Status().Err; err == nil || !strings.Contains(err.Error(), filepath.Join("lib", "a")+":1:") {
			t.Errorf("status has %v", err)
		}
		w.put("lib/a", `'three`) // touched, as broken as before
		w.expect("two", 2)
		if err := os.Remove(filepath.Join(w.folder, "lib", "a")); err != nil {
			t.Fatal(err)
		}
		w.expect("two", 3)

		w.put("lib/a", `'four'`)
		w.expect("four", 4)
		if err := w.template.Status().Err; err != nil {
			t.Errorf("after mending: %v", err)
		}

		w.put("t.jsonnet", `function(ctx) { a: 'five' }`)
		w.expect("five", 5)
	})
}

// TestWatchFindsANewFileInFront adds a file that an import finds before the present one.
func TestWatchFindsANewFileInFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := write(t, map[string]string{"a": `'shared'`})
		w := watch(t, map[string]string{"t.jsonnet": `function(ctx) { a: import 'a' }`}, render.Options{
			Imports: []string{shared},
		})
		w.expect("shared", 0)
		w.put("a", `'own'`)
		w.expect("own", 1)
	})
}

// TestWatchSwappedLinks changes files as Kubernetes does: by a link to another folder.
func TestWatchSwappedLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := write(t, map[string]string{
			"..1/t.jsonnet": `function(ctx) { a: import 'a' }`, "..1/a": `'one'`,
			"..2/t.jsonnet": `function(ctx) { a: import 'a' }`, "..2/a": `'two'`,
		})
		link := func(target, name string) {
			t.Helper()
			temporary := filepath.Join(folder, "new")
			if err := os.Symlink(target, temporary); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(temporary, filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("..1", "..data")
		link("..data/t.jsonnet", "t.jsonnet")
		link("..data/a", "a")
		w := &watched{t: t, folder: folder}
		w.start(render.Options{})
		w.expect("one", 0)
		link("..2", "..data")
		w.expect("two", 1)
	})
}

func TestLastGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := filepath.Join(t.TempDir(), "kept")
		o := render.Options{LastGood: kept}
		w := watch(t, map[string]string{"t.jsonnet": `function(ctx) { a: import 'a' }`, "a": `'one'`}, o)
		w.put("a", `'two'`)
		w.expect("two", 1)
		info, err := os.Stat(kept)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("folder: %v, %v", info.Mode(), err)
		}
		files, err := filepath.Glob(filepath.Join(kept, "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("kept %v, %v", files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("file: %v, %v", info.Mode(), err)
		}

		// A restart with a broken template, and with one whose import is gone.
		for _, broken := range []string{`function(ctx) {`, `function(ctx) import 'gone'`} {
			w.put("t.jsonnet", broken)
			w.start(o)
			if w.template.Status().Err == nil {
				t.Error("the status hides that the template is broken")
			}
			w.expect("two", 0)
		}
		w.put("t.jsonnet", `function(ctx) { a: 'three' }`)
		w.expect("three", 1)

		// What was kept is damaged: the broken template fails to load, the good one doesn't.
		w.settle()
		if err := os.WriteFile(files[0], []byte(`{"main":`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.put("t.jsonnet", `function(ctx) {`)
		if _, err := render.Load(filepath.Join(w.folder, "t.jsonnet"), o); err == nil {
			t.Error("loaded without a last good version")
		}
	})
}

// TestLoadWritesNothing holds because `caddy validate` loads templates and must have no effect.
func TestLoadWritesNothing(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	folder := write(t, map[string]string{"t.jsonnet": `function(ctx) {}`})
	if _, err := render.Load(filepath.Join(folder, "t.jsonnet"), render.Options{LastGood: kept}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestLibrary(t *testing.T) {
	render.Library["test.libsonnet"] = `{ name: 'library' }`
	defer delete(render.Library, "test.libsonnet")
	files := map[string]string{"t.jsonnet": `function(ctx) { a: (import 'test.libsonnet').name }`}
	for want, more := range map[string]string{"library": "other.libsonnet", "own": "test.libsonnet"} {
		files[more] = `{ name: 'own' }`
		template, err := render.Load(filepath.Join(write(t, files), "t.jsonnet"), render.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := template.Render(t.Context(), map[string]any{})
		if err != nil || plainly(t, got).(map[string]any)["a"] != want {
			t.Errorf("got %v, %v", got, err)
		}
		delete(files, more)
	}
}
