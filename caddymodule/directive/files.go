package directive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

const (
	// filePrefix begins the placeholders of files.
	filePrefix = "file."
	// maxFile is how much of a file Caddy reads.
	maxFile = 1 << 20
)

var (
	errEmptyFile = errors.New("is empty")
	errNoFile    = errors.New("is not a regular file")
)

// Files returns the placeholders of files in a configured value, such as {file./run/secrets/key}. A pipe or a device,
// which can be read only once, is none.
func Files(value string) []string {
	var found []string
	replacer := caddy.NewReplacer().WithoutFile()
	replacer.Map(func(key string) (any, bool) {
		name, isFile := strings.CutPrefix(key, filePrefix)
		if !isFile {
			return nil, false
		}
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return "", true
		}
		if placeholder := "{" + key + "}"; !slices.Contains(found, placeholder) {
			found = append(found, placeholder)
		}
		return "", true
	})
	replacer.ReplaceAll(value, "")
	return found
}

// ReadableByAll returns those placeholders of files in a configured value whose files every user of the machine can
// read. A file in a folder that is closed to others is not one of them.
func ReadableByAll(value string) []string {
	return slices.DeleteFunc(Files(value), func(placeholder string) bool {
		name := strings.TrimSuffix(strings.TrimPrefix(placeholder, "{"+filePrefix), "}")
		return !isReadableByAll(name)
	})
}

func isReadableByAll(name string) bool {
	const read, enter = 0o004, 0o001
	name, err := filepath.Abs(name)
	if err == nil {
		name, err = filepath.EvalSymlinks(name)
	}
	if err != nil || runtime.GOOS == "windows" { // where permissions are not in the mode
		return false
	}
	for wanted := fs.FileMode(read); ; wanted = enter {
		info, err := os.Stat(name)
		if err != nil || info.Mode()&wanted == 0 {
			return false
		}
		folder := filepath.Dir(name)
		if folder == name {
			return true
		}
		name = folder
	}
}

// Snapshot expands values with the files as they are at one moment: it reads each file once. Caddy's own replacer
// logs each failure, which is too much for a file that is read every second.
type Snapshot struct{ files map[string]snapshotFile }

type snapshotFile struct {
	text string
	err  error
}

// Expand is like the function Expand. Its error names the placeholder, and never repeats what a file has.
func (s *Snapshot) Expand(value string) (string, error) {
	var failed error
	replacer := caddy.NewReplacer().WithoutFile()
	replacer.Map(func(key string) (any, bool) {
		name, isFile := strings.CutPrefix(key, filePrefix)
		if !isFile {
			return nil, false
		}
		text, err := s.read(name)
		if err != nil && failed == nil {
			failed = fmt.Errorf("{%s} %w", key, err)
		}
		return text, true
	})
	expanded, err := replacer.ReplaceOrErr(value, true, true)
	if failed != nil {
		return "", failed
	}
	return expanded, err
}

func (s *Snapshot) read(name string) (string, error) {
	if s.files == nil {
		s.files = make(map[string]snapshotFile)
	}
	file, has := s.files[name]
	if !has {
		file.text, file.err = readFile(name)
		s.files[name] = file
	}
	return file.text, file.err
}

// readFile reads a file as Caddy does: the line break at its end does not count. A pipe would never end.
func readFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return "", errNoFile
	}
	file, err := os.Open(name)
	if err != nil {
		return "", unreadable(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return "", unreadable(err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" {
		return "", errEmptyFile
	}
	return text, nil
}

// unreadable leaves the file's name out of an error: the placeholder has it.
func unreadable(err error) error {
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
