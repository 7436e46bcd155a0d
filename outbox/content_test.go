package outbox_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// TestLargeContents has workers hold a few large contents at a time, whatever they are made to, while small ones pass.
func TestLargeContents(t *testing.T) {
	const size = 4 << 20
	for _, test := range []struct {
		name       string
		unrendered string
		want       int64
	}{
		{"sent", "", 5},
		{"rendered", "broken", 1},
	} {
		onSQLite(t, func(t *testing.T, c outbox.Config) {
			var now, most, large, small atomic.Int64
			f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
				if len(d.Content) != size+1 {
					small.Add(1)
					return outbox.Result{Verdict: outbox.VerdictSent}
				}
				if !bytes.HasSuffix(d.Content, []byte("x")) {
					t.Error("the content is another one")
				}
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				large.Add(1)
				return outbox.Result{Verdict: outbox.VerdictSent}
			})
			o := open(t, c, f)
			var ids []string
			for n := range 8 {
				ids = append(ids, put(t, o, fmt.Sprint(n), func(n *outbox.New) {
					n.Content, n.Unrendered = bytes.Repeat([]byte("x"), size+1), test.unrendered
				}).ID)
			}
			start(t, o)
			for _, id := range ids {
				if test.unrendered == "" {
					break
				}
				if err := o.Retry(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			put(t, o, "small")
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if now.Load() != test.want || small.Load() != 1 {
				t.Errorf("%s: %d large ones at once, %d small ones sent", test.name, now.Load(), small.Load())
			}
			f.waitEvents(t, "sent", 9)
			if most.Load() != test.want || large.Load() != 8 {
				t.Errorf("%s: at most %d at once, %d in all", test.name, most.Load(), large.Load())
			}
		})
	}
}
