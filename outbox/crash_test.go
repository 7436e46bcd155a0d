package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

// crashChild accepts and delivers until it is killed. It prints what it has accepted and delivered.
func crashChild() {
	var mu sync.Mutex
	say := func(format string, arguments ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", arguments...)
	}
	f := newFake(func(d outbox.Delivery, _ int) outbox.Result {
		say("delivered %s", d.Content)
		return outbox.Result{Verdict: outbox.VerdictSent}
	})
	o, err := outbox.Open(
		context.Background(),
		outbox.Config{SQLite: os.Getenv("OUTBOX_CRASH_FILE")},
		outbox.Settings{Senders: []string{sender}, Deliverer: f},
	)
	if err != nil {
		panic(err)
	}
	if err := o.Start(context.Background()); err != nil {
		panic(err)
	}
	for caller := range 8 {
		go func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s-%d-%d", os.Getenv("OUTBOX_CRASH_ROUND"), caller, n)
				if _, err := o.Put(context.Background(), outbox.New{Key: key, Sender: sender, Content: []byte(key)}); err != nil {
					panic(err)
				}
				say("accepted %s", key)
			}
		}()
	}
	select {}
}

// TestKill kills a process at random moments, and then delivers what it left behind.
func TestKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outbox.db")
	accepted, delivered := make(map[string]bool), make(map[string]int)
	const rounds, workers = 5, 32
	for round := range rounds {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), "OUTBOX_CRASH_FILE="+file, fmt.Sprintf("OUTBOX_CRASH_ROUND=%d", round))
		child.Stderr = os.Stderr
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(output)
		killAt := 100 + rand.IntN(400)
		for n := 0; lines.Scan(); n++ {
			what, key, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "accepted":
				accepted[key] = true
			case "delivered":
				delivered[key]++
			}
			if n == killAt {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // it was killed
	}
	// The time that entries stay uncertain passes at once.
	synctest.Test(t, func(t *testing.T) {
		f := newFake(resend)
		o := open(t, outbox.Config{SQLite: file}, f)
		left := o.Undelivered()
		start(t, o)
		f.wait(t, "all that was left behind", func() bool { return f.count("sent") >= left })
		for _, d := range f.delivered {
			if !d.Uncertain {
				delivered[string(d.Content)]++
			}
		}
		t.Logf("%d accepted, %d left behind", len(accepted), left)
	})
	again := 0
	for key := range accepted {
		if delivered[key] == 0 {
			t.Errorf("%s was accepted and not delivered", key)
		}
	}
	for _, n := range delivered {
		again += n - 1
	}
	if again > rounds*workers {
		t.Errorf("%d delivered again, more than were in flight", again)
	}
}
