package render

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"time"
)

const (
	// pollInterval is how often Watch looks at the files where Options say nothing.
	pollInterval = 500 * time.Millisecond
	// A clock that stamps files may be so coarse that two changes get the same time. A file that
	// was changed within this time is compared by its contents.
	coarse = 2 * time.Second
)

// fingerprint is what changes when a file does. It is nil where there is no file.
type fingerprint fs.FileInfo

// look notes the state of a file before it is read: a change between the two is then seen later.
func (s *source) look(file string) {
	if s.looked == nil {
		return
	}
	if _, ok := s.looked[file]; !ok {
		s.looked[file] = stat(file)
	}
}

// stat follows links, so that a link that leads elsewhere is a change.
func stat(file string) fingerprint {
	info, err := os.Stat(file)
	if err != nil {
		return nil
	}
	return info
}

// changed reports whether a file that was looked for is another now.
func (s *source) changed(now time.Time) bool {
	if len(s.looked) == 0 {
		return true // nothing was looked for yet
	}
	for file, before := range s.looked {
		after := stat(file)
		switch {
		case before == nil && after == nil:
			continue
		case before == nil || after == nil,
			!os.SameFile(before, after), before.Size() != after.Size(), !before.ModTime().Equal(after.ModTime()):
			return true
		}
		if contents, read := s.Files[file]; read && now.Sub(after.ModTime()) < coarse {
			present, err := readFile(os.OpenFile(file, readOnly, 0))
			if err != nil || !bytes.Equal(present, contents) {
				return true
			}
		}
	}
	return false
}

// reading is what was on disk: the source with its program, or with an error.
type reading struct {
	source  *source
	program *program
	err     error
}

// read reads and compiles the files on disk, if they are others than those of watched.
func (t *Template) read(ctx context.Context, watched *source) reading {
	r, err := await(ctx, func() reading {
		if watched != nil && !watched.changed(time.Now()) {
			return reading{source: watched}
		}
		read := readSource(t.path, t.options.Imports)
		p, err := compile(read)
		return reading{read, p, err}
	})
	if err != nil {
		r.source, r.err = watched, &Error{
			Kind: KindFile, File: t.path, Err: err,
			Message: "reading the template and its imports takes too long: check the disk or the network that they are on",
		}
	}
	return r
}

// await calls a function that has no effect but its result. It does not wait longer than ctx, even where a file
// system never answers: then the function's goroutine is left behind.
func await[T any](ctx context.Context, f func() T) (result T, err error) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, nil
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

// Watch takes up changed files until ctx is done, and keeps the source in force in LastGood. It
// calls changed with nil for a new version, and once with each error that keeps one out.
func (t *Template) Watch(ctx context.Context, changed func(error)) {
	watched := t.current.Load().source
	if t.broken.Load() != nil {
		// The version in force was kept from an earlier run; what lies on disk is read again.
		watched = readSource(t.path, t.options.Imports)
	} else if err := t.saveLastGood(); err != nil {
		changed(t.notKept(err))
	}
	ticker := time.NewTicker(t.options.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			read := t.read(ctx, watched)
			if ctx.Err() != nil {
				return
			}
			if read.source != watched {
				t.take(read, changed)
			}
			watched = read.source
		}
	}
}

// take puts what was read in force if it is good.
func (t *Template) take(read reading, changed func(error)) {
	if err := read.err; err != nil {
		if before := t.broken.Swap(&err); before == nil || (*before).Error() != err.Error() {
			changed(err)
		}
		return
	}
	wasBroken := t.broken.Swap(nil) != nil
	if read.program.version == t.current.Load().version && !wasBroken {
		return
	}
	t.current.Store(read.program)
	if err := t.saveLastGood(); err != nil {
		changed(t.notKept(err))
	}
	changed(nil)
}

func (t *Template) notKept(err error) error {
	return &Error{Kind: KindFile, File: t.path, Message: "keeping the last good version: " + cause(err).Error(), Err: err}
}
