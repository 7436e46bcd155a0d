//go:build linux

package database

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// disk mounts a file system of 2 MB.
func disk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// fill leaves no space.
func fill(t *testing.T, folder, name string) {
	t.Helper()
	filler, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for size := 1 << 16; size > 0; size >>= 4 {
		for {
			if _, err := filler.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}

func free(t *testing.T, folder string) {
	t.Helper()
	remove(t, filepath.Join(folder, "filler"))
}

// TestDiskFullAtTheStart opens a file that cannot be made or written now, and then again.
func TestDiskFullAtTheStart(t *testing.T) {
	for name, there := range map[string]bool{"no file": false, "a file": true} {
		t.Run(name, func(t *testing.T) {
			folder := disk(t)
			file := filepath.Join(folder, "outbox.db")
			if there {
				db := openSQLite(t, file)
				write(t, db, "a", "b")
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, folder, "filler")
			if db, err := OpenSQLite(t.Context(), file); err == nil {
				// What is there can be read, but nothing be stored.
				if err := db.Write(t.Context(), set("c", strings.Repeat("x", 1<<16))); !errors.Is(err, ErrUnavailable) {
					t.Errorf("writing: %v", err)
				}
				_ = db.Close() // there is no space for what it checkpoints
			} else if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v", err)
			}
			free(t, folder)
			db := openSQLite(t, file)
			write(t, db, "c", "d")
			if there && value(t, db, "SELECT value FROM setting WHERE name = 'a'") != "b" {
				t.Error("what was written is lost")
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDiskFillsUp stores as long as there is space, says that there is none, and stores when there is some again.
func TestDiskFillsUp(t *testing.T) {
	folder := disk(t)
	synctest.Test(t, func(t *testing.T) {
		db := openSQLite(t, filepath.Join(folder, "outbox.db"))
		write(t, db, "0", "a")
		writeFile(t, filepath.Join(folder, "filler"), make([]byte, 1<<20))
		var err error
		stored := 1
		for ; err == nil && stored < 1000; stored++ {
			w := set(strconv.Itoa(stored), strings.Repeat("x", 10_000))
			w.Size = 10_000
			err = db.Write(t.Context(), w)
		}
		if !errors.Is(err, ErrUnavailable) || db.Trouble() == nil {
			t.Errorf("after %d: %v, trouble %v", stored, err, db.Trouble())
		}
		stored-- // the last one was not
		fill(t, folder, "more")
		time.Sleep(10 * probeAfterFailure)
		synctest.Wait()
		if err := db.Trouble(); err == nil {
			t.Error("it is no trouble while the disk is full")
		}
		free(t, folder)
		time.Sleep(probeAfterFailure + time.Millisecond)
		synctest.Wait()
		if err := db.Trouble(); err != nil {
			t.Errorf("with space: %v", err)
		}
		write(t, db, "after", "it")
		n, err := strconv.Atoi(value(t, db, "SELECT count(*) FROM setting WHERE name <> 'probe'"))
		if err != nil || n != stored+1 {
			t.Errorf("%d of %d are there, %v", n, stored+1, err)
		}
		if got := value(t, db, "PRAGMA integrity_check"); got != "ok" {
			t.Error(got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReadOnlyDisk opens a file of a file system that is read-only, and then again.
func TestReadOnlyDisk(t *testing.T) {
	folder := disk(t)
	file := filepath.Join(folder, "outbox.db")
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|flags, "size=2m"); err != nil {
			t.Fatal(err)
		}
	}
	for _, there := range []string{"without a file", "with a file"} {
		remount(syscall.MS_RDONLY)
		if _, err := OpenSQLite(t.Context(), file); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", there, err)
		}
		remount(0)
		db := openSQLite(t, file)
		write(t, db, "a", "b")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
