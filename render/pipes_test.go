//go:build unix

package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

func pipe(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNotRegular has a pipe, a device or a folder in the place of a template or of an import. Opening a pipe waits for
// a writer.
func TestNotRegular(t *testing.T) {
	for _, name := range []string{"t.jsonnet", "a"} {
		for kind, put := range map[string]func(file string) error{
			"pipe":   func(file string) error { return syscall.Mkfifo(file, 0o600) },
			"device": func(file string) error { return os.Symlink("/dev/zero", file) },
			"folder": func(file string) error { return os.Mkdir(file, 0o700) },
		} {
			if kind == "device" && name == "a" {
				continue // a link out of the folder is refused anyway
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				folder := write(t, map[string]string{"t.jsonnet": `function(ctx) { a: import 'a' }`})
				file := filepath.Join(folder, name)
				_ = os.Remove(file)
				if err := put(file); err != nil {
					t.Fatal(err)
				}
				_, err := render.Load(filepath.Join(folder, "t.jsonnet"), render.Options{})
				if err == nil || !strings.HasSuffix(err.Error(), "it is not a regular file") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestWatchPassesOverPipes puts pipes in the place of a template and of its import for a while.
func TestWatchPassesOverPipes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, map[string]string{"t.jsonnet": `function(ctx) { a: import 'a' }`, "a": `'one'`}, render.Options{})
		pipe(t, filepath.Join(w.folder, "a"))
		w.expect("one", 1)
		pipe(t, filepath.Join(w.folder, "t.jsonnet"))
		w.expect("one", 2)
		for name, text := range map[string]string{"t.jsonnet": `function(ctx) { a: import 'a' }`, "a": `'two'`} {
			if err := os.Remove(filepath.Join(w.folder, name)); err != nil {
				t.Fatal(err)
			}
			w.put(name, text)
		}
		w.expect("two", 3)
	})
}
