package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// source is a template and what it imports, as read at one time. What was read once is not read
// again, so that all evaluations of a version see the same.
type source struct {
	// Main is the template's file as the operator named it.
	Main string `json:"main"`
	// Imports are the further folders to import from.
	Imports []string `json:"imports,omitempty"`
	// Files are the contents of what was found, by the name under which it appears in errors.
	Files map[string][]byte `json:"files"`
	// Found says where an import was found: by importing file and imported path.
	Found map[string]map[string]string `json:"found,omitempty"`

	// size is that of all Files.
	size int
	// looked are the files that were looked for, found or not.
	looked map[string]fingerprint
	// sealed sources read no more files.
	sealed bool
}

func readSource(main string, imports []string) *source {
	return &source{
		Main: main, Imports: imports,
		Files: make(map[string][]byte), Found: make(map[string]map[string]string),
		looked: make(map[string]fingerprint),
	}
}

// main returns the template's own contents. It may be a link to anywhere: the operator named it.
func (s *source) main() ([]byte, error) {
	if contents, ok := s.Files[s.Main]; ok || s.sealed {
		return contents, nil
	}
	s.look(s.Main)
	contents, err := readFile(os.OpenFile(s.Main, readOnly, 0))
	if err != nil {
		return nil, err
	}
	return contents, s.add(s.Main, contents)
}

// add keeps what was read, if there is room for it.
func (s *source) add(name string, contents []byte) error {
	if _, known := s.Files[name]; known {
		return nil
	}
	s.size += len(contents)
	if s.size > MaxSource {
		return errTooLarge
	}
	s.Files[name] = contents
	return nil
}

var errTooLarge = fmt.Errorf("the template and its imports are larger than %d MiB together", MaxSource>>20)

var errNotFound = errors.New("no such file")

// resolve returns the contents of an import and the name under which it appears in errors.
func (s *source) resolve(from, imported string) ([]byte, string, error) {
	if foundAt, ok := s.Found[from][imported]; ok {
		return s.Files[foundAt], foundAt, nil
	}
	if s.sealed {
		return nil, "", errNotFound
	}
	contents, foundAt, err := s.find(from, imported)
	if err != nil {
		return nil, "", err
	}
	if s.Found[from] == nil {
		s.Found[from] = make(map[string]string)
	}
	s.Found[from][imported] = foundAt
	return contents, foundAt, s.add(foundAt, contents)
}

// find looks beside the importing file, then in the further folders, then in the library.
func (s *source) find(from, imported string) ([]byte, string, error) {
	if filepath.IsAbs(imported) {
		return nil, "", errors.New("a path must be relative: name its folder as one of the imports " +
			"in the configuration, and the file by its path in there")
	}
	folders := append([]string{filepath.Dir(s.Main)}, s.Imports...)
	allowed := false
	for i, folder := range append(folders, s.Imports...) {
		candidate := filepath.Join(folder, imported)
		if i < len(folders) {
			candidate = filepath.Join(filepath.Dir(from), imported)
		}
		name, err := filepath.Rel(folder, candidate)
		if err != nil || !filepath.IsLocal(name) {
			continue
		}
		allowed = true
		if contents, known := s.Files[candidate]; known {
			return contents, candidate, nil
		}
		contents, err := s.read(folder, name)
		if !errors.Is(err, fs.ErrNotExist) {
			return contents, candidate, err
		}
	}
	if text, ok := library[path.Clean(imported)]; ok {
		return []byte(text), path.Clean(imported), nil
	}
	if !allowed {
		return nil, "", fmt.Errorf("it leaves the folder %s: "+
			"name the folder that it is in as one of the imports in the configuration", folders[0])
	}
	return nil, "", errNotFound
}

// read returns the contents of a file in a folder. The folder is opened again each time, so that a
// folder that was replaced by another is seen.
func (s *source) read(folder, name string) ([]byte, error) {
	s.look(filepath.Join(folder, name))
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	contents, err := readFile(root.OpenFile(name, readOnly, 0))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s in %s: %w", name, folder, cause(err))
	}
	return contents, err
}

// readOnly opens a pipe without waiting for a writer. It makes no difference for regular files.
const readOnly = os.O_RDONLY | syscall.O_NONBLOCK

// maxRead is how large one file may be: the last good sources are kept in base64.
const maxRead = 2 * MaxSource

// readFile reads a regular file that has just been opened: a pipe or a device could keep it waiting for ever.
func readFile(file *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	contents, err := io.ReadAll(io.LimitReader(file, maxRead+1))
	if len(contents) > maxRead {
		return nil, errTooLarge
	}
	return contents, err
}

// cause is a file error without its path, which its reader knows.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// version is a short hash of all contents.
func (s *source) version() string {
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		fmt.Fprintf(digest, "%q %d ", name, len(s.Files[name]))
		digest.Write(s.Files[name])
	}
	return hex.EncodeToString(digest.Sum(nil))[:12]
}

// lastGoodFile is where the template's last good source is kept.
func (t *Template) lastGoodFile() (string, error) {
	absolute, err := filepath.Abs(t.path)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(absolute))
	return filepath.Join(t.options.LastGood, hex.EncodeToString(digest[:16])+".json"), nil
}

// saveLastGood keeps the source in force for a later start at which the files on disk are broken.
func (t *Template) saveLastGood() error {
	if t.options.LastGood == "" {
		return nil
	}
	file, err := t.lastGoodFile()
	if err != nil {
		return err
	}
	data, err := json.Marshal(t.current.Load().source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.options.LastGood, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(t.options.LastGood, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.Write(data); err != nil {
		temporary.Close()
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}

// loadLastGood returns the version that is kept, or nil if there is none that works.
func (t *Template) loadLastGood() *program {
	if t.options.LastGood == "" {
		return nil
	}
	file, err := t.lastGoodFile()
	if err != nil {
		return nil
	}
	data, err := readFile(os.OpenFile(file, readOnly, 0))
	if err != nil {
		return nil
	}
	kept := &source{sealed: true}
	if json.Unmarshal(data, kept) != nil {
		return nil
	}
	p, err := compile(kept)
	if err != nil {
		return nil
	}
	return p
}
