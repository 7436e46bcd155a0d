package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// database/sql ends its own goroutine a moment after Close.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		// A pool closes its connections in goroutines of their own.
		goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn.(*PgConn).asyncClose.func1"),
	)
}

var (
	errOfWrite  = errors.New("it has bad data")
	errTwice    = errors.New("it is there")
	errDiskGone = errors.New("the disk is gone")
)

// script is a database whose commits a test decides about.
type script struct {
	committer
	mu sync.Mutex
	// batches has the SQL of the first statement of each write that was executed.
	batches [][]string
	// executing, if set, is called for each batch and decides what becomes of it.
	executing func(batch []string) error
	checking  error
}

func newScript(t *testing.T, executing func(batch []string) error) *script {
	s := &script{executing: executing}
	s.stored.Store(time.Now().UnixNano())
	s.start(s, 1)
	t.Cleanup(s.finish)
	return s
}

func (s *script) execute(writes []*Write) error {
	var batch []string
	for _, w := range writes {
		batch = append(batch, w.Statements[0].SQL)
	}
	s.mu.Lock()
	s.batches = append(s.batches, batch)
	executing := s.executing
	s.mu.Unlock()
	if executing == nil {
		return nil
	}
	return executing(batch)
}

func (s *script) isOfWrite(err error) bool {
	return errors.Is(err, errOfWrite) || errors.Is(err, errTwice)
}
func (s *script) isConflict(err error) bool { return errors.Is(err, errTwice) }
func (s *script) check() error              { return s.checking }

func (s *script) set(executing func(batch []string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executing = executing
}

func (s *script) executed() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func named(name string, size int) *Write {
	return &Write{Statements: []*Statement{{SQL: name}}, Size: size, Order: name}
}

// together writes what is given at the same time, behind a first commit that takes as long as that, and returns the
// errors.
func (s *script) together(writes ...*Write) []error {
	first, release := make(chan struct{}), make(chan struct{})
	executing := s.executing
	s.set(func(batch []string) error {
		if batch[0] == "first" {
			close(first)
			<-release
			return nil
		}
		if executing == nil {
			return nil
		}
		return executing(batch)
	})
	errs := make([]error, len(writes))
	var waiting sync.WaitGroup
	waiting.Go(func() { _ = s.Write(context.Background(), named("first", 0)) })
	<-first
	for i, w := range writes {
		waiting.Go(func() { errs[i] = s.Write(context.Background(), w) })
	}
	synctest.Wait()
	close(release)
	waiting.Wait()
	return errs
}

// TestBatches commits together what waits, as much as fits, in order.
func TestBatches(t *testing.T) {
	many := func(n, size int) (writes []*Write) {
		for i := range n {
			writes = append(writes, named(fmt.Sprintf("%03d", n-i), size))
		}
		return writes
	}
	for name, test := range map[string]struct {
		writes []*Write
		// batches are how many writes each commit has after the first one.
		batches []int
	}{
		"all that waits":   {many(20, 10), []int{20}},
		"by number":        {many(300, 10), []int{128, 128, 44}},
		"by bytes":         {many(5, 3<<20), []int{3, 2}},
		"one that is more": {many(2, 9<<20), []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, nil)
				for _, err := range s.together(test.writes...) {
					if err != nil {
						t.Error(err)
					}
				}
				var sizes []int
				for _, batch := range s.executed()[1:] {
					sizes = append(sizes, len(batch))
					if !slices.IsSorted(batch) {
						t.Errorf("not in order: %v", batch)
					}
				}
				if !slices.Equal(sizes, test.batches) {
					t.Errorf("commits of %v, want %v", sizes, test.batches)
				}
			})
		})
	}
}

// TestOneFailsAlone commits a batch that has one bad write.
func TestOneFailsAlone(t *testing.T) {
	for name, test := range map[string]struct {
		fail func() error
		want error
	}{
		"bad data":   {func() error { return errOfWrite }, errOfWrite},
		"a conflict": {func() error { return errTwice }, ErrConflict},
		"a bad row":  {func() error { return rowError{errDiskGone} }, errDiskGone},
		"a panic":    {func() error { panic("crash") }, errCrashed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, func(batch []string) error {
					if slices.Contains(batch, "bad") {
						return test.fail()
					}
					return nil
				})
				errs := s.together(named("a", 0), named("bad", 0), named("c", 0))
				if errs[0] != nil || errs[2] != nil {
					t.Errorf("the others: %v, %v", errs[0], errs[2])
				}
				if !errors.Is(errs[1], test.want) || errors.Is(errs[1], ErrUnavailable) {
					t.Errorf("the bad one: %v", errs[1])
				}
				if err := s.Trouble(); err != nil {
					t.Errorf("one bad write is a trouble: %v", err)
				}
			})
		})
	}
}

// TestOutage has the database fail, and fails a batch as a whole: each try would cost its callers time.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]string) error { return errDiskGone })
		for _, err := range s.together(named("a", 0), named("b", 0)) {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDiskGone) {
				t.Errorf("got %v", err)
			}
		}
		if n := len(s.executed()); n != 2 {
			t.Errorf("%d commits: %v", n, s.executed())
		}
		if err := s.Trouble(); !errors.Is(err, errDiskGone) {
			t.Errorf("trouble %v", err)
		}
		s.set(nil)
		time.Sleep(probeAfterFailure + time.Millisecond)
		synctest.Wait()
		if err := s.Trouble(); err != nil {
			t.Errorf("after it is there again: %v", err)
		}
	})
}

// TestPatience has the database hang: callers wait for 5 s at most, the next ones learn of it without waiting, and the
// probe notices the end of it.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newScript(t, func([]string) error { <-release; return nil })
		var waiting sync.WaitGroup
		began := time.Now()
		for i := range 3 {
			waiting.Go(func() {
				err := s.Write(t.Context(), named(fmt.Sprint(i), 0))
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "has not answered for 5s") {
					t.Errorf("got %v", err)
				}
			})
		}
		waiting.Wait()
		if waited := time.Since(began); waited != Patience {
			t.Errorf("they waited for %v", waited)
		}
		if err := s.Trouble(); !errors.Is(err, errNoAnswer) {
			t.Errorf("trouble %v", err)
		}
		// What must not be given up waits on.
		patient := make(chan error, 1)
		go func() {
			w := named("patient", 0)
			w.Patient = true
			patient <- s.Write(context.Background(), w)
		}()
		time.Sleep(time.Minute)
		if err := s.Trouble(); !errors.Is(err, errNoAnswer) {
			t.Errorf("trouble after a minute: %v", err)
		}
		close(release)
		if err := <-patient; err != nil {
			t.Errorf("the patient one: %v", err)
		}
		time.Sleep(probeAfterFailure)
		synctest.Wait()
		if err := s.Trouble(); err != nil {
			t.Errorf("after it answers again: %v", err)
		}
	})
}

// TestImpatientCaller gives up before the database is slow, which says nothing about it.
func TestImpatientCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newScript(t, func([]string) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Write(ctx, named("a", 0)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := s.Trouble(); err != nil {
			t.Errorf("trouble %v", err)
		}
		close(release)
	})
}

// TestProbe writes every 30 s while nothing else is stored, and says what it finds.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, nil)
		time.Sleep(5 * time.Minute)
		if n := len(s.executed()); n < 9 || n > 10 {
			t.Errorf("%d probes in 5 minutes", n)
		}
		s.set(func([]string) error { return errDiskGone })
		time.Sleep(probeIdle + probeAfterFailure)
		synctest.Wait()
		if err := s.Trouble(); !errors.Is(err, errDiskGone) {
			t.Errorf("trouble %v", err)
		}
	})
}

// TestClosed ends writes that nobody will commit.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, nil)
		s.finish()
		if err := s.Write(t.Context(), named("late", 0)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

// TestClean removes what PostgreSQL takes in no text, and nothing else.
func TestClean(t *testing.T) {
	args := []any{"a\x00b\x00", "gr\xfcn", "grün", []byte("a\x00"), int64(1), nil}
	clean(args)
	if want := fmt.Sprint([]any{"ab", "gr\uFFFDn", "grün", []byte("a\x00"), int64(1), nil}); fmt.Sprint(args) != want {
		t.Errorf("got %v", args)
	}
}

// TestTroubleLasts has small writes succeed while large ones do not fit: it is not ready before a large one does.
func TestTroubleLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := make(chan struct{})
		s := newScript(t, func(batch []string) error {
			select {
			case <-space:
			default:
				if batch[0] == "large" || batch[0] == probeStatement {
					return errDiskGone
				}
			}
			return nil
		})
		if err := s.Write(t.Context(), named("large", 10_000)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a large write: %v", err)
		}
		if err := s.Write(t.Context(), named("small", 100)); err != nil {
			t.Errorf("a small write: %v", err)
		}
		time.Sleep(10 * probeAfterFailure)
		if err := s.Trouble(); !errors.Is(err, errDiskGone) {
			t.Errorf("trouble %v", err)
		}
		close(space)
		time.Sleep(probeAfterFailure)
		synctest.Wait()
		if err := s.Trouble(); err != nil {
			t.Errorf("with space: %v", err)
		}
	})
}
