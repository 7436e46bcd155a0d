package outbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

type delivering func() Result

func (d delivering) Deliver(context.Context, Delivery) Result { return d() }

// inside opens an outbox on SQLite that delivers nothing by itself.
func inside(t *testing.T, deliver delivering) *Outbox {
	t.Helper()
	o, err := Open(t.Context(), Config{SQLite: filepath.Join(t.TempDir(), "outbox.db")}, Settings{Senders: []string{"x"}, Deliverer: deliver})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func ordered(key string) New {
	return New{Key: key, Sender: "x", Recipients: []string{"ada@example.net"}, Content: []byte("c"), Ordered: true, Remember: time.Minute}
}

// together commits entries in one batch.
func together(o *Outbox, entries ...New) []putReply {
	puts := make([]*put, len(entries))
	for i, entry := range entries {
		puts[i] = &put{entry, make(chan putReply, 1)}
	}
	guarded(o, puts, o.commit)
	replies := make([]putReply, len(puts))
	for i, p := range puts {
		replies[i] = <-p.reply
	}
	return replies
}

// TestRepeatInABatch doesn't take what is stored with a repeat for what came before it.
func TestRepeatInABatch(t *testing.T) {
	o := inside(t, nil)
	if _, err := o.Put(t.Context(), ordered("no")); err != nil {
		t.Fatal(err)
	}
	replies := together(o, ordered("no"), ordered("yes"))
	if restated, err := o.restated(t.Context(), ordered("no"), replies[0]); err != nil || restated {
		t.Errorf("restated %t, %v", restated, err)
	}
	// It is, in the next one.
	again := together(o, ordered("no"))[0]
	if restated, err := o.restated(t.Context(), ordered("no"), again); err != nil || !restated {
		t.Errorf("restated %t, %v", restated, err)
	}
}

// TestWithdrawalInABatch takes no withdrawal for a repeat that came after what it withdraws, however few commits there are.
func TestWithdrawalInABatch(t *testing.T) {
	for _, batches := range [][][]string{
		{{"no"}, {"yes", "no"}},
		{{"no", "yes", "no"}},
		{{"no"}, {"no", "yes", "no"}},
		{{"no"}, {"yes"}, {"no"}},
		{{"yes"}, {"no"}, {"maybe", "yes", "no"}},
	} {
		t.Run(fmt.Sprint(batches), func(t *testing.T) {
			o := inside(t, nil)
			var replies []putReply
			for _, batch := range batches {
				entries := make([]New, len(batch))
				for i, key := range batch {
					entries[i] = ordered(key)
				}
				replies = together(o, entries...)
			}
			if restated, err := o.restated(t.Context(), ordered("no"), replies[len(replies)-1]); err != nil || !restated {
				t.Errorf("restated %t, %v", restated, err)
			}
		})
	}
}

// TestBrokenRowInABatch leaves alone what is committed beside an entry that can't be read.
func TestBrokenRowInABatch(t *testing.T) {
	o := inside(t, nil)
	broken, err := o.Put(t.Context(), ordered("broken"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.store.exec(t.Context(), `UPDATE river_job SET metadata = json('{"sender":5}') WHERE id = $1`, broken.ID); err != nil {
		t.Fatal(err)
	}
	for i, reply := range together(o, ordered("yes"), ordered("no"), ordered("broken")) {
		if (reply.err != nil) != (i == 2) || reply.receipt.Duplicate {
			t.Errorf("%d: %+v", i, reply)
		}
	}
	if rows, err := o.store.rows(t.Context(), "id <> $1", broken.ID); err != nil || len(rows) != 2 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestUnstorableInABatch leaves alone what waits beside an entry that can't be stored.
func TestUnstorableInABatch(t *testing.T) {
	o := inside(t, nil)
	refusal := "CREATE TRIGGER refusal BEFORE INSERT ON river_job WHEN new.queue = '" + queueOf("y") + "' BEGIN SELECT raise(ABORT, 'no'); END"
	if _, err := o.store.db.ExecContext(t.Context(), refusal); err != nil {
		t.Fatal(err)
	}
	for i, reply := range together(o, ordered("a"), New{Key: "unstorable", Sender: "y"}, ordered("b")) {
		if (reply.err != nil) != (i == 1) || reply.receipt.Duplicate {
			t.Errorf("%d: %+v", i, reply)
		}
	}
}

// TestChangesInABatch leaves alone what waits beside a change that can't be made.
func TestChangesInABatch(t *testing.T) {
	o := inside(t, nil)
	receipt, err := o.Put(t.Context(), ordered("a"))
	if err != nil {
		t.Fatal(err)
	}
	const set = "UPDATE river_job SET priority = ?2 WHERE id = ?1"
	changes := []struct {
		statement
		changed, fails bool
	}{
		{statement{set, []any{receipt.ID, 2}}, true, false},
		{statement{set, []any{0, 2}}, false, false},
		{statement{set, []any{receipt.ID, 9}}, false, true},
		{statement{set, []any{receipt.ID, 3}}, true, false},
	}
	for _, n := range []int{2, 4} {
		updates := make([]*applying, n)
		for i := range updates {
			updates[i] = &applying{changes[i].statement, make(chan applied, 1)}
		}
		o.update(updates)
		for i, a := range updates {
			if got := <-a.reply; got.changed != changes[i].changed || (got.err != nil) != changes[i].fails {
				t.Errorf("%d of %d: %+v", i, n, got)
			}
		}
	}
	if rows, err := o.store.rows(t.Context(), "id = $1 AND priority = 3", receipt.ID); err != nil || len(rows) != 1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestPutWhileAQueueGoes has a worker come to its end while River waits for it, and an insertion for River.
func TestPutWhileAQueueGoes(t *testing.T) {
	sending, sent := make(chan struct{}), make(chan struct{})
	o := inside(t, func() Result {
		close(sending)
		<-sent
		return Result{Verdict: VerdictSent}
	})
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Put(t.Context(), New{Key: "first", Sender: "x"}); err != nil {
		t.Fatal(err)
	}
	<-sending
	removed, put := make(chan error), make(chan error)
	go func() { removed <- o.client.Queues().Remove(t.Context(), queueOf("x")) }()
	// It doesn't take new ones once it waits: then the insertion is kept waiting too.
	for n := 0; ; n++ {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := o.Put(context.Background(), New{Key: fmt.Sprint("other", n), Sender: "y"})
			if err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-done:
			continue
		case <-time.After(50 * time.Millisecond):
			go func() { <-done; put <- nil }()
		}
		break
	}
	close(sent)
	for name, end := range map[string]chan error{"removal": removed, "insertion": put} {
		select {
		case err := <-end:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the %s never ends", name)
		}
	}
}

// TestCommittingCrashes answers all that wait, and goes on.
func TestCommittingCrashes(t *testing.T) {
	o := inside(t, nil)
	client := o.client
	o.client = nil
	for i, reply := range together(o, ordered("a"), ordered("b"), ordered("a")) {
		if reply.err == nil {
			t.Errorf("%d: %+v", i, reply)
		}
	}
	o.client = client
	for i, reply := range together(o, ordered("a"), ordered("b"), ordered("a")) {
		if reply.err != nil || reply.receipt.Duplicate != (i == 2) {
			t.Errorf("then %d: %+v", i, reply)
		}
	}
}

// TestOrderIsIndexed finds a person's entries without looking at all others.
func TestOrderIsIndexed(t *testing.T) {
	o := inside(t, nil)
	condition, arguments := sharing(Entry{Sender: "x", Recipients: []string{"a", "b"}}, "id > %s", 1)
	rows, err := o.store.db.QueryContext(t.Context(), o.store.query("EXPLAIN QUERY PLAN SELECT id FROM river_job WHERE "+condition), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if got := plan.String(); !strings.Contains(got, "outbox_first") || !strings.Contains(got, "outbox_second") || strings.Contains(got, "SCAN river_job") {
		t.Errorf("the plan is\n%s", got)
	}
}

// TestEntryIsInOtherHands has an entry that was taken away come back to the same process while the first worker is at its end.
func TestEntryIsInOtherHands(t *testing.T) {
	other := hand{"queue", 2}
	var o *Outbox
	o = inside(t, func() Result {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.working[7] = other
		return Result{Verdict: VerdictSent}
	})
	o.mu.Lock()
	o.running = t.Context()
	o.mu.Unlock()
	job := &river.Job[args]{JobRow: &rivertype.JobRow{ID: 7, Attempt: 1, Queue: "queue", State: rivertype.JobStateRunning, Metadata: []byte(`{"sender":"x"}`)}}
	if err := (&worker{o: o}).Work(t.Context(), job); err != nil {
		t.Error(err)
	}
	if got := o.working[7]; got != other {
		t.Errorf("the entry is in the hands of %+v", got)
	}
}
