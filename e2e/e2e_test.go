// Package e2e runs real Caddy processes, kills them, and takes their databases away. It is a module of its own:
// it needs more than Go. See .ci/run for what.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// binary is the Caddy under test.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "e2e")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "caddy")
	build := exec.Command("go", "build", "-o", binary, "./cmd/caddy")
	build.Dir, build.Stdout, build.Stderr = "..", os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// mandrill is a sandbox that counts each recipient's mails: the sandbox itself forgets old ones.
type mandrill struct {
	*sandbox.Sandbox
	url string

	mu       sync.Mutex
	received map[string]int
	changed  chan struct{}
}

func newMandrill(t *testing.T) *mandrill {
	t.Helper()
	m := &mandrill{Sandbox: sandbox.New(), received: make(map[string]int), changed: make(chan struct{})}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.url = server.URL + "/api/1.0"
	return m
}

// ServeHTTP counts a mail when the sandbox has taken it, and before its sender hears of it.
func (m *mandrill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	m.Sandbox.ServeHTTP(answer, r)
	var request struct {
		Message struct {
			To []struct{ Email string }
		}
	}
	if answer.Code == http.StatusOK && strings.HasSuffix(r.URL.Path, "/messages/send") && json.Unmarshal(body, &request) == nil {
		m.mu.Lock()
		m.received[request.Message.To[0].Email]++
		close(m.changed)
		m.changed = make(chan struct{})
		m.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the sender was killed
}

// expect waits until each of the accepted has arrived, and returns how many arrived more than once.
func (m *mandrill) expect(t *testing.T, accepted []string, patience time.Duration) (again int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		var missing []string
		again = 0
		for _, address := range accepted {
			if n := m.received[address]; n == 0 {
				missing = append(missing, address)
			} else {
				again += n - 1
			}
		}
		changed := m.changed
		m.mu.Unlock()
		if len(missing) == 0 {
			return again
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d of %d accepted hooks never arrived, the first is %s", len(missing), len(accepted), missing[0])
		}
	}
}

// edge is a Caddy process.
type edge struct {
	t       *testing.T
	address string
	folder  string
	config  string
	process *exec.Cmd
	log     *os.File
}

func newEdge(t *testing.T, m *mandrill, outbox string) *edge {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, address: listener.Addr().String(), folder: t.TempDir()}
	listener.Close()
	template := filepath.Join(e.folder, "t.jsonnet")
	if err := os.WriteFile(template, []byte(`function(ctx) { message: { from_email: 'hello@example.com', to: [{ email: ctx.email }], text: 'Hi' } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	e.config = filepath.Join(e.folder, "Caddyfile")
	caddyfile := fmt.Sprintf("{\nadmin off\nauto_https off\npersist_config off\nmailchimp {\napi_key key\nsender_domain example.com\napi_base %s\n%s\n}\n}\nhttp://:%s {\nbind 127.0.0.1\nmailchimp_hook * %s {\nauth off\n}\n}\n",
		m.url, strings.ReplaceAll(outbox, "FOLDER", e.folder), e.address[strings.LastIndexByte(e.address, ':')+1:], template)
	if err := os.WriteFile(e.config, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	if e.log, err = os.Create(filepath.Join(e.folder, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.kill()
		e.log.Close()
		if t.Failed() {
			log, _ := os.ReadFile(e.log.Name())
			t.Logf("the end of Caddy's log:\n%s", log[max(0, len(log)-3000):])
		}
	})
	e.start()
	return e
}

// start runs the process, and returns when it answers.
func (e *edge) start() {
	e.t.Helper()
	e.process = exec.Command(binary, "run", "--config", e.config)
	e.process.Env = append(os.Environ(), "XDG_DATA_HOME="+e.folder, "XDG_CONFIG_HOME="+e.folder)
	e.process.Stdout, e.process.Stderr = e.log, e.log
	if err := e.process.Start(); err != nil {
		e.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		connection, err := net.Dial("tcp", e.address)
		if err == nil {
			connection.Close()
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatal("Caddy didn't start")
		}
	}
}

func (e *edge) kill() {
	if e.process.ProcessState == nil {
		_ = e.process.Process.Kill()
		_ = e.process.Wait()
	}
}

// post posts a hook for an address, and returns the status, or 0 where nothing was heard.
func (e *edge) post(address string) int {
	r, err := http.NewRequest(http.MethodPost, "http://"+e.address+"/", strings.NewReader(`{"email":"`+address+`"}`))
	if err != nil {
		e.t.Error(err)
		return 0
	}
	r.Host = "hooks.example.com" // as behind a load balancer
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// run keeps hooks apart from those that earlier runs left in the same database.
var run = time.Now().UnixNano()

// load posts hooks with several callers until the context ends, and returns the addresses of those that
// were accepted. hooks numbers them.
func load(ctx context.Context, t *testing.T, hooks *atomic.Int64, edges ...*edge) []string {
	t.Helper()
	const callers = 8
	var mu sync.Mutex
	var accepted []string
	var posting sync.WaitGroup
	for caller := range callers {
		posting.Go(func() {
			for ctx.Err() == nil {
				address := fmt.Sprintf("hook%d-%d@example.net", run, hooks.Add(1))
				switch status := edges[caller%len(edges)].post(address); status {
				case http.StatusNoContent:
					mu.Lock()
					accepted = append(accepted, address)
					mu.Unlock()
				case 0, http.StatusServiceUnavailable:
				default:
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	posting.Wait()
	return accepted
}

var errEnough = errors.New("enough")

// loadFor is load for a time.
func loadFor(t *testing.T, duration time.Duration, hooks *atomic.Int64, edges ...*edge) []string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), duration, errEnough)
	defer cancel()
	return load(ctx, t, hooks, edges...)
}
