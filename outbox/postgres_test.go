package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// proxy forwards connections, and cuts the one that brings the message number cutAt.
type proxy struct {
	net.Listener
	target string
	// messages counts what the server has said, and left is how many more messages pass before the cut.
	messages atomic.Int64
	cutAt    int64
	done     sync.WaitGroup
}

func newProxy(t *testing.T, target string, cutAt int) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, target: target, cutAt: int64(cutAt)}
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.done.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		both := func() { _, _ = client.Close(), server.Close() }
		p.done.Go(func() {
			defer both()
			_, _ = io.Copy(server, client)
		})
		p.done.Go(func() {
			defer both()
			buffer := make([]byte, 1<<16)
			for {
				n, err := server.Read(buffer)
				if err != nil || p.messages.Add(1) == p.cutAt {
					return
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})
	}
}

// TestCutAtTheStart cuts the connection at each message of the start, with tables to be made and with tables that are
// there. Open never fails, and the outbox works as soon as the server answers again.
func TestCutAtTheStart(t *testing.T) {
	conn, u := server(t, "OUTBOX_POSTGRES_DSN")
	outbox.Hurry(t)
	for name, test := range map[string]struct {
		most int
		old  bool
	}{"new tables": {most: 55}, "tables that are there": {most: 15, old: true}} {
		t.Run(name, func(t *testing.T) {
			schemas := make(chan string, test.most)
			for range test.most {
				schema := newName()
				run(t, conn, "CREATE SCHEMA "+schema)
				t.Cleanup(func() { run(t, conn, "DROP SCHEMA "+schema+" CASCADE") })
				schemas <- schema
			}
			var cutting sync.WaitGroup
			var next, least atomic.Int64
			least.Store(1 << 30)
			for range 8 {
				cutting.Go(func() {
					for schema := range schemas {
						dsn := fmt.Sprintf("?search_path=%s&sslmode=disable", schema)
						if test.old {
							p := newProxy(t, u.Host, -1)
							if _, err := useThrough(p, u, dsn); err != nil {
								t.Error(err)
							}
						}
						p := newProxy(t, u.Host, int(next.Add(1)))
						started, err := useThrough(p, u, dsn)
						if err != nil {
							t.Errorf("cut at the message %d: %v", p.cutAt, err)
						}
						if started < p.cutAt { // it was not cut
							least.Store(min(least.Load(), started))
						}
					}
				})
			}
			close(schemas)
			cutting.Wait()
			if t.Logf("a start has %d messages", least.Load()); least.Load() > int64(test.most) {
				t.Error("not all were cut")
			}
		})
	}
}

// useThrough opens an outbox, and puts and delivers an entry as soon as that is possible. It returns how many messages
// the start had.
func useThrough(p *proxy, u *url.URL, parameters string) (started int64, err error) {
	delivered := make(chan struct{}, 1)
	f := newFake(func(outbox.Delivery, int) outbox.Result {
		delivered <- struct{}{}
		return outbox.Result{Verdict: outbox.VerdictSent}
	})
	c := outbox.Config{Postgres: "postgres://" + u.User.String() + "@" + p.Addr().String() + u.Path + parameters}
	o, err := outbox.Open(context.Background(), c, outbox.Settings{Senders: []string{sender}, Deliverer: f})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	started = p.messages.Load()
	if err := o.Start(context.Background()); err != nil {
		return started, err
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := o.Put(context.Background(), outbox.New{Key: o.NewID(), Sender: sender})
		if err == nil {
			break
		}
		if !errors.Is(err, outbox.ErrUnavailable) || time.Now().After(deadline) {
			return started, err
		}
	}
	select {
	case <-delivered:
		return started, nil
	case <-time.After(15 * time.Second):
		return started, errors.New("it was not delivered")
	}
}

// TestTerminatedUnderLoad ends all connections again and again while entries are accepted and delivered.
func TestTerminatedUnderLoad(t *testing.T) {
	conn, u := server(t, "OUTBOX_POSTGRES_DSN")
	outbox.Hurry(t)
	dsn := database(t, conn, u)
	f := newFake(resend)
	o := open(t, outbox.Config{Postgres: dsn}, f, func(s *outbox.Settings) { s.UncertainWait = 100 * time.Millisecond })
	start(t, o)
	name := dsn[strings.LastIndexByte(dsn, '/')+1:]
	ended := make(chan struct{})
	var putting sync.WaitGroup
	var accepted atomic.Int64
	for caller := range 8 {
		putting.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				key := fmt.Sprintf("%d-%d", caller, n)
				if _, err := o.Put(context.Background(), outbox.New{Key: key, Sender: sender, Content: []byte(key)}); err != nil {
					t.Errorf("putting: %v", err)
				}
				accepted.Add(1)
			}
		})
	}
	for range 8 {
		time.Sleep(300 * time.Millisecond)
		run(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "+
			"WHERE datname = '"+strings.TrimPrefix(name, "/")+"'")
	}
	close(ended)
	putting.Wait()
	eventually(t, "all to be delivered", func() bool { return o.Undelivered() == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	delivered := make(map[string]int)
	for _, d := range f.delivered {
		if !d.Uncertain {
			delivered[d.ID]++
		}
	}
	if len(delivered) != int(accepted.Load()) || f.count("lost")+f.count("dead") > 0 {
		t.Errorf("%d accepted, %d delivered, events %v", accepted.Load(), len(delivered), f.counts())
	}
	for id, n := range delivered {
		if n > 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	t.Logf("%d accepted, events %v", accepted.Load(), f.counts())
}

// TestWoken puts an entry in by a process that does not deliver: another one does, at once where it is notified, and
// by its next poll where it cannot be.
func TestWoken(t *testing.T) {
	for name, test := range map[string]struct {
		dsn  func(t *testing.T) string
		most time.Duration
	}{
		"notified":         {postgres, 200 * time.Millisecond},
		"behind PgBouncer": {pgbouncer, time.Second},
		"one connection":   {func(t *testing.T) string { return postgres(t) + "&pool_max_conns=1" }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := outbox.Config{Postgres: test.dsn(t)}
			f := newFake(sent)
			start(t, open(t, c, f))
			o := open(t, c, f)
			put(t, o, "first")
			f.waitEvents(t, "sent", 1)
			time.Sleep(400 * time.Millisecond) // it may have learned that it is notified
			for n := range 3 {
				began := time.Now()
				put(t, o, fmt.Sprint(n))
				f.waitEvents(t, "sent", n+2)
				if took := time.Since(began); took > test.most {
					t.Errorf("it took %v", took)
				}
			}
		})
	}
}

// TestSlowClock has a server whose clock is 5 minutes behind ours: its clock decides.
func TestSlowClock(t *testing.T) {
	conn, u := server(t, "OUTBOX_POSTGRES_SLOW_CLOCK_DSN")
	var theirs time.Time
	if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").
		Scan(&theirs); err != nil ||
		time.Since(theirs) < 4*time.Minute {
		t.Fatalf("the server's clock says %v, %v", theirs, err)
	}
	outbox.Hurry(t)
	f := newFake(afterFirst(outbox.Result{Verdict: outbox.VerdictRetry, Reason: "status 500"}))
	o := open(t, outbox.Config{Postgres: database(t, conn, u)}, f)
	start(t, o)
	began := time.Now()
	receipt := put(t, o, "key")
	if behind := time.Since(receipt.Entry.Accepted); behind < 4*time.Minute {
		t.Errorf("accepted %v ago", behind)
	}
	f.waitEvents(t, "sent", 1)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	// Two processes agree on leases, whatever their own clocks say.
	put(t, o, "claimed", func(n *outbox.New) { n.Claim = time.Hour })
	time.Sleep(time.Second)
	if f.count("dead") > 0 {
		t.Error("a claim was taken over before its time")
	}
}

// TestIdleCost counts what the server says to an idle process: that does not grow with its senders.
func TestIdleCost(t *testing.T) {
	conn, u := server(t, "OUTBOX_POSTGRES_DSN")
	count := func(senders int) int64 {
		direct := *u
		p := newProxy(t, u.Host, -1)
		through := *u
		through.Host = p.Addr().String()
		through.Path = "/" + strings.TrimPrefix(database(t, conn, &direct), strings.TrimSuffix(u.String(), u.Path)+"/")
		// Without a connection that listens: it would poll less often.
		through.RawQuery = "pool_max_conns=2"
		name := func(n int) string { return fmt.Sprintf("sender%d.example", n) }
		o := open(t, outbox.Config{Postgres: through.String()}, newFake(sent), func(s *outbox.Settings) {
			for n := range senders {
				s.Senders = append(s.Senders, name(n))
			}
		})
		start(t, o)
		time.Sleep(200 * time.Millisecond)
		before := p.messages.Load()
		time.Sleep(time.Second)
		return p.messages.Load() - before
	}
	one, many := count(1), count(100)
	t.Logf("%d messages in a second for one sender, %d for 100", one, many)
	if many > one+4 || one < 4 {
		t.Error("they grow, or there are none")
	}
}
