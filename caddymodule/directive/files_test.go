package directive

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestReadableByAll looks at permissions of files, links to them, and folders on the way.
func TestReadableByAll(t *testing.T) {
	folder, err := os.MkdirTemp("", "readable") // that of t.TempDir may be closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := func(name string) string { return filepath.Join(folder, name) }
	for _, err := range []error{
		os.Chmod(folder, 0o755),
		os.WriteFile(path("open"), nil, 0o604), os.WriteFile(path("group"), nil, 0o640), os.Mkdir(path("closed"), 0o750),
		os.WriteFile(path("closed/open"), nil, 0o644),
		os.Symlink("open", path("link")), os.Symlink("closed/open", path("in")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path("open")); err != nil || info.Mode().Perm() != 0o604 {
		t.Skipf("the umask is another one: %v", err)
	}
	placeholder := func(name string) string { return "{file." + path(name) + "}" }
	value := "a"
	for _, name := range []string{"open", "group", "closed/open", "link", "in", "missing"} {
		value += placeholder(name)
	}
	if got := ReadableByAll(value); !slices.Equal(got, []string{placeholder("open"), placeholder("link")}) {
		t.Errorf("readable are %q", got)
	}
}
