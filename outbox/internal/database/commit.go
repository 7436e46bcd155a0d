package database

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// An executor commits writes in one transaction.
type executor interface {
	// execute calls Begin of each write first, whenever it tries.
	execute(writes []*Write) error
	// isOfWrite reports whether an error lies with the statements, and not with the database.
	isOfWrite(err error) bool
	// isConflict reports whether an error says that a unique value is taken.
	isConflict(err error) bool
	// check reports what is wrong with the database although it seems to take writes. execute checks it too.
	check() error
}

// waiting is a write that waits for a commit.
type waiting struct {
	*Write
	done chan error
}

// committer commits together what waits at the moment.
type committer struct {
	executor
	writes chan waiting
	// trouble is why the last commit failed.
	trouble atomic.Pointer[error]
	// troubled has the probe look at once whether a new trouble lasts.
	troubled chan struct{}
	// needed is about how many bytes it could not store: as many must be stored before the trouble is over. On a disk
	// that is full, a small write may succeed while no entry fits.
	needed atomic.Int64
	// stored is the time of the last success, in nanoseconds.
	stored atomic.Int64

	stop    context.CancelFunc
	stopped context.Context
	running sync.WaitGroup
}

// start begins to commit, with as many commits at once as given.
func (c *committer) start(e executor, atOnce int) {
	c.executor, c.writes, c.troubled = e, make(chan waiting), make(chan struct{}, 1)
	c.stopped, c.stop = context.WithCancel(context.Background())
	for range atOnce {
		c.running.Go(c.commit)
	}
	c.running.Go(c.probe)
}

// finish ends the goroutines after what is being committed.
func (c *committer) finish() {
	c.stop()
	c.running.Wait()
}

// Trouble implements DB.
func (c *committer) Trouble() error {
	if trouble := c.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

// failed records why the database does not store.
func (c *committer) failed(err error) {
	if c.trouble.Swap(&err) != nil {
		return
	}
	select {
	case c.troubled <- struct{}{}:
	default:
	}
}

func (c *committer) succeeded(size int) {
	c.stored.Store(time.Now().UnixNano())
	if c.trouble.Load() != nil && int64(size) >= c.needed.Load() {
		c.needed.Store(0)
		c.trouble.Store(nil)
	}
}

// Write implements DB.
func (c *committer) Write(ctx context.Context, w *Write) error {
	if !w.Patient {
		var cancel context.CancelFunc
		ctx, cancel = WithPatience(ctx)
		defer cancel()
	}
	for _, s := range w.Statements {
		clean(s.Args)
	}
	one := waiting{w, make(chan error, 1)}
	select {
	case c.writes <- one:
	case <-c.stopped.Done():
		return fmt.Errorf("%w: it is closed", ErrUnavailable)
	case <-ctx.Done():
		return c.timedOut(ctx)
	}
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		return c.timedOut(ctx)
	}
}

// clean removes what PostgreSQL takes in no text, NUL and invalid UTF-8, from the strings among arguments. All that
// comes from outside passes here.
func clean(args []any) {
	for i, arg := range args {
		if text, is := arg.(string); is && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
		}
	}
}

// WithPatience returns a context that ends after Patience. A Write that it ends says that the database hangs.
func WithPatience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, Patience, errNoAnswer)
}

var errNoAnswer = fmt.Errorf("the database has not answered for %v", Patience)

func (c *committer) timedOut(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errNoAnswer) {
		c.failed(cause)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

var errCrashed = errors.New("committing crashed")

// rowError is the error of a Row.
type rowError struct{ error }

func (e rowError) Unwrap() error { return e.error }

func (rowError) Is(target error) bool { return target == ErrRow }

// isOfOne reports whether an error lies with one of the writes, so that the others can be committed without it.
func (c *committer) isOfOne(err error) bool {
	var row rowError
	return errors.Is(err, errCrashed) || errors.As(err, &row) || c.isOfWrite(err)
}

func (c *committer) commit() {
	for {
		var batch []waiting
		size := 0
		select {
		case one := <-c.writes:
			batch, size = append(batch, one), one.Size
		case <-c.stopped.Done():
			return
		}
		// Callers that the last commit has answered get the time to come back.
		runtime.Gosched()
	collecting:
		for len(batch) < maxBatch && size < maxBatchSize {
			select {
			case one := <-c.writes:
				batch, size = append(batch, one), size+one.Size
			default:
				break collecting
			}
		}
		c.run(batch)
	}
}

// run commits a batch, or those of it that can be committed.
func (c *committer) run(batch []waiting) {
	slices.SortStableFunc(batch, func(a, b waiting) int { return strings.Compare(a.Order, b.Order) })
	writes := make([]*Write, len(batch))
	for i, one := range batch {
		writes[i] = one.Write
	}
	err := c.safely(writes)
	for i, one := range batch {
		each := err
		if err != nil && len(batch) > 1 && c.isOfOne(err) {
			each = c.safely(writes[i : i+1])
		}
		switch {
		case each == nil:
			c.succeeded(one.Size)
		case c.isConflict(each):
			each = fmt.Errorf("%w: %w", ErrConflict, each)
		case !c.isOfOne(each):
			c.needed.Store(min(max(c.needed.Load(), int64(one.Size)), maxProbe))
			c.failed(each)
			each = fmt.Errorf("%w: %w", ErrUnavailable, each)
		}
		one.done <- each
	}
}

// safely is execute, for which a panic is an error: callers must not wait for ever.
func (c *committer) safely(writes []*Write) (err error) {
	defer func() {
		if failure := recover(); failure != nil {
			err = fmt.Errorf("%w: %T", errCrashed, failure)
		}
	}()
	return c.execute(writes)
}

// probe writes a little while nothing else is stored, so that Trouble says what is so.
func (c *committer) probe() {
	tick := time.NewTicker(probeAfterFailure)
	defer tick.Stop()
	for {
		select {
		case <-c.stopped.Done():
			return
		case <-tick.C:
		case <-c.troubled:
			select {
			case <-c.stopped.Done():
				return
			case <-time.After(probeSoon):
			}
		}
		if err := c.check(); err != nil {
			c.failed(err)
			continue
		}
		if c.Trouble() == nil && time.Since(time.Unix(0, c.stored.Load())) < probeIdle {
			continue
		}
		needed := int(c.needed.Load())
		text := strconv.FormatInt(time.Now().UnixMilli(), 10) + strings.Repeat(" ", needed)
		_ = c.Write(c.stopped, &Write{Statements: []*Statement{{SQL: probeStatement, Args: []any{text}}}, Size: needed})
	}
}

// probeStatement writes to the disk, on PostgreSQL too.
const probeStatement = "INSERT INTO setting (name, value) VALUES ('probe', $1) " +
	"ON CONFLICT (name) DO UPDATE SET value = excluded.value"
