package database

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func openSQLite(t *testing.T, file string) *sqliteDB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // some tests have closed it
	return db.(*sqliteDB)
}

func set(name, value string) *Write {
	return &Write{Statements: []*Statement{{
		SQL:  "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		Args: []any{name, value},
	}}}
}

func write(t *testing.T, db DB, name, value string) {
	t.Helper()
	if err := db.Write(t.Context(), set(name, value)); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, db DB, query string, args ...any) string {
	t.Helper()
	var found any
	if err := db.Read(t.Context(), query, args, func(scan func(...any) error) error { return scan(&found) }); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(found)
}

// TestFiles opens files of any name. Nobody else may read them.
func TestFiles(t *testing.T) {
	for _, name := range []string{
		"outbox.db", "a?b.db", "a?mode=memory", "a#b.db", "a%41.db", "100%", "with blank.db", "it's \"quoted\".db",
		"file:x.db",
		"grün.db", ":memory:", "a&b=c;d.db",
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, name)
			for _, there := range []string{file, file + ".lock"} {
				if err := os.WriteFile(there, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			db := openSQLite(t, file)
			write(t, db, "a", "b")
			var names []string
			files, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, beside := range files {
				names = append(names, strings.TrimPrefix(beside.Name(), name))
				if info, err := beside.Info(); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s has the mode %v, %v", beside.Name(), info.Mode(), err)
				}
			}
			if !slices.Equal(names, []string{"", "-shm", "-wal", ".lock"}) {
				t.Errorf("files %q", names)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if db = openSQLite(t, file); value(t, db, "SELECT value FROM setting WHERE name = $1", "a") != "b" {
				t.Error("what was written is not there")
			}
		})
	}
}

// TestSettings reads what makes writes durable and wiped content disappear.
func TestSettings(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "outbox.db"))
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "auto_vacuum": "2",
	} {
		var got string
		if err := db.write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s instead of %s, %v", pragma, got, want, err)
		}
	}
	if err := db.Read(t.Context(), "DELETE FROM setting", nil, func(func(...any) error) error { return nil }); err == nil {
		t.Error("a reading connection writes")
	}
}

func TestSecondProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outbox.db")
	db := openSQLite(t, file)
	_, err := OpenSQLite(t.Context(), file)
	if !errors.Is(err, errOpenElsewhere) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openSQLite(t, file)
}

// outboxFile makes a file with some pages.
func outboxFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "outbox.db")
	db := openSQLite(t, file)
	for n := range 50 {
		write(t, db, fmt.Sprint("setting ", n), strings.Repeat("x", 1000))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// execSQLite changes a file by other means.
func execSQLite(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadFiles opens what is no outbox. Only what can pass by itself is ErrUnavailable.
func TestBadFiles(t *testing.T) {
	const passes = "passes"
	before := busyTimeout
	busyTimeout = 10 * time.Millisecond
	defer func() { busyTimeout = before }()
	for name, test := range map[string]struct {
		make func(t *testing.T, file string)
		// want is a part of the error, or nothing if it opens.
		want string
	}{
		"garbage": {make: func(t *testing.T, file string) {
			writeFile(t, file, []byte(strings.Repeat("no database ", 1000)))
		}, want: "is no outbox: name another file"},
		"half": {make: func(t *testing.T, file string) {
			data := readFile(t, file)
			writeFile(t, file, data[:len(data)/2])
		}, want: "it is damaged: stop Caddy"},
		"empty": {make: func(t *testing.T, file string) { writeFile(t, file, nil) }},
		"with garbage in the WAL": {make: func(t *testing.T, file string) {
			writeFile(t, file+"-wal", []byte(strings.Repeat("garbage", 1000)))
		}},
		"folder": {make: func(t *testing.T, file string) {
			remove(t, file)
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: "it is a folder"},
		"in no folder": {make: func(t *testing.T, file string) {
			if err := os.RemoveAll(filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
		}, want: passes},
		"of a version with River": {make: func(t *testing.T, file string) {
			remove(t, file)
			execSQLite(t, file, "CREATE TABLE river_job (id int)", "CREATE TABLE outbox_setting (name text)")
		}, want: "it was made by an earlier version: let that version deliver what is in it"},
		"of a later version": {make: func(t *testing.T, file string) {
			execSQLite(t, file, "INSERT INTO outbox_version (version_id, is_applied) VALUES (99, true)")
		}, want: "it was made by a later version (its tables are version 99, this one knows 1)"},
		"locked by a tool": {make: func(t *testing.T, file string) {
			db, err := sql.Open("sqlite", file+"?_txlock=exclusive&_pragma=locking_mode(EXCLUSIVE)")
			if err != nil {
				t.Fatal(err)
			}
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = tx.Rollback(), db.Close() })
		}, want: passes},
	} {
		t.Run(name, func(t *testing.T) {
			file := outboxFile(t)
			test.make(t, file)
			db, err := OpenSQLite(t.Context(), file)
			if err == nil {
				err = db.Close()
				if test.want != "" || err != nil {
					t.Errorf("opened, %v", err)
				}
				return
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("the error does not name the file: %v", err)
			}
			if test.want == passes {
				if !errors.Is(err, ErrUnavailable) {
					t.Errorf("got %v", err)
				}
				return
			}
			if test.want == "" || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// TestMaintain gives back the space of what was deleted, and truncates the WAL.
func TestMaintain(t *testing.T) {
	db := openSQLite(t, outboxFile(t))
	write(t, db, "one", "more")
	deletion := &Statement{SQL: "DELETE FROM setting WHERE name LIKE 'setting %'"}
	if err := db.Write(t.Context(), &Write{Statements: []*Statement{deletion}}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"PRAGMA incremental_vacuum(500)", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if err := db.Maintain(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	if left := value(t, db, "PRAGMA freelist_count"); left != "0" {
		t.Errorf("%s pages are free", left)
	}
	if info, err := os.Stat(db.file + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the WAL has %d bytes, %v", info.Size(), err)
	}
}

// TestFileGoes deletes or replaces the file under an open outbox. What is written then is not stored: it fails, even
// the first write.
func TestFileGoes(t *testing.T) {
	for name, replaced := range map[string]bool{"deleted": false, "replaced": true} {
		t.Run(name, func(t *testing.T) {
			file := outboxFile(t)
			synctest.Test(t, func(t *testing.T) {
				db := openSQLite(t, file)
				if err := os.Rename(file, file+".away"); err != nil {
					t.Fatal(err)
				}
				if replaced {
					writeFile(t, file, readFile(t, file+".away"))
				}
				for range 2 {
					err := db.Write(t.Context(), set("a", "b"))
					if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "was deleted or replaced") {
						t.Errorf("got %v", err)
					}
					if db.Trouble() == nil {
						t.Error("it is no trouble")
					}
				}
				// Somebody puts it back.
				if err := os.Rename(file+".away", file); err != nil {
					t.Fatal(err)
				}
				time.Sleep(probeAfterFailure + time.Millisecond)
				synctest.Wait()
				if err := db.Trouble(); err != nil {
					t.Errorf("after it is back: %v", err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFileGoesWhileIdle notices it without a write.
func TestFileGoesWhileIdle(t *testing.T) {
	file := outboxFile(t)
	synctest.Test(t, func(t *testing.T) {
		db := openSQLite(t, file)
		remove(t, file)
		time.Sleep(probeAfterFailure + time.Millisecond)
		synctest.Wait()
		if err := db.Trouble(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("trouble %v", err)
		}
		_ = db.Close() // the disk is no matter any more
	})
}

// TestDamagedPage damages a page that nothing reads at the start. Reading it says what to do, and others are still
// there.
func TestDamagedPage(t *testing.T) {
	file := outboxFile(t)
	root := 0
	db := openSQLite(t, file)
	query := "SELECT rootpage FROM sqlite_master WHERE name = 'tally'"
	if err := db.Read(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&root) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data := readFile(t, file)
	copy(data[(root-1)*4096:root*4096], slices.Repeat([]byte{0x5a}, 4096))
	writeFile(t, file, data)
	db = openSQLite(t, file)
	write(t, db, "a", "b")
	for name, err := range map[string]error{
		"reading": db.Read(t.Context(), "SELECT * FROM tally", nil, func(func(...any) error) error { return nil }),
		"writing": db.Write(t.Context(), &Write{Statements: []*Statement{{SQL: "DELETE FROM tally"}}}),
	} {
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := db.Trouble(); !errors.Is(err, ErrDamaged) {
		t.Errorf("trouble %v", err)
	}
	write(t, db, "c", "d")
}

// TestPanicWhileCommitting has a Row panic: what follows is stored.
func TestPanicWhileCommitting(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, db, "a", "b")
	crash := &Write{Statements: []*Statement{{
		SQL: "UPDATE setting SET value = 'lost' RETURNING name", Row: func(func(...any) error) error { panic("crash") },
	}}}
	if err := db.Write(t.Context(), crash); !errors.Is(err, errCrashed) {
		t.Errorf("got %v", err)
	}
	write(t, db, "c", "d")
	if got := value(t, db, "SELECT value FROM setting WHERE name = 'a'"); got != "b" {
		t.Errorf("the crashed transaction was committed: %s", got)
	}
}

// TestConflict tells a taken value apart from other errors.
func TestConflict(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "outbox.db"))
	insert := func(name any) error {
		insertion := &Statement{SQL: "INSERT INTO message (id, entry) VALUES ($1, 'x')", Args: []any{name}}
		return db.Write(t.Context(), &Write{Statements: []*Statement{insertion}})
	}
	if err := insert("a"); err != nil {
		t.Fatal(err)
	}
	if err := insert(nil); err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnavailable) {
		t.Errorf("what must not be null: %v", err)
	}
	if err := insert("a"); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("a taken value: %v", err)
	}
	if err := db.Trouble(); err != nil {
		t.Errorf("trouble %v", err)
	}
}

// TestNoDDL opens a file whose tables are up to date without changing them.
func TestNoDDL(t *testing.T) {
	file := outboxFile(t)
	before := schemaCookie(t, file)
	if err := openSQLite(t, file).Close(); err != nil {
		t.Fatal(err)
	}
	if after := schemaCookie(t, file); after != before {
		t.Errorf("the schema was changed from %d to %d", before, after)
	}
}

func schemaCookie(t *testing.T, file string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("PRAGMA schema_version").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
