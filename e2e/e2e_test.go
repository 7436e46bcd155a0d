// Package e2e runs real Caddy processes, kills them, and takes their databases away; and a real Ory Kratos,
// whose people register and sign in. It is a module of its own: it needs more than Go. See .ci/run for what.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// edge is a Caddy process.
type edge struct {
	t       *testing.T
	address string
	// admin is where its admin endpoint is.
	admin  string
	folder string
	config string
	log    *os.File
	// logRead is how far waitForLog has read.
	logRead int
	// mandrill is where the stand-in is. api_base {env.API_BASE} is that, with the name of the process in it.
	mandrill string

	// life keeps start and kill apart.
	life    sync.Mutex
	process *exec.Cmd
	// processes counts the processes so far, deaths says when those died that were killed.
	processes int
	deaths    map[string]time.Time
	// interrupted are the entries that processes were sending when they were killed, as the next ones found them, each
	// with the name of the first process that was.
	interrupted map[string]string
}

// lastPort is the port that freeAddress tried last. It is below those that the system gives to outgoing connections.
var lastPort atomic.Int64

// freeAddress is an address on loopback that nobody listens at, and that nobody else gets from it.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, ports = 10_000, 20_000
	for range ports {
		address := fmt.Sprintf("127.0.0.1:%d", first+(int64(os.Getpid())*100+lastPort.Add(1))%ports)
		listener, err := net.Listen("tcp", address)
		if err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// newEdge runs a Caddy whose hook is at every path.
func newEdge(t *testing.T, m *mandrill, outbox string) *edge {
	t.Helper()
	return newEdgeWith(t, m, outbox, hookSite, map[string]string{"t.jsonnet": template})
}

// hookSite has the hook of newEdge.
const hookSite = "mailchimp_hook * t.jsonnet {\nauth off\n}\n"

// template makes urgent mails, which are uncertain for 20 s alone.
const template = `function(ctx) {
	message: { from_email: 'hello@example.com', to: [{ email: ctx.email }], text: 'Hi' },
	delivery: { expires_in: '55m' },
}`

// newEdgeWith runs a Caddy with the site's directives in a folder with the files.
func newEdgeWith(t *testing.T, m *mandrill, outbox, site string, files map[string]string) *edge {
	t.Helper()
	return runEdge(t, files, func(e *edge) string {
		e.mandrill = m.url
		return e.caddyfile(outbox, site)
	})
}

// caddyfile is a configuration with an outbox and the site's directives.
func (e *edge) caddyfile(outbox, site string) string {
	return "{\nadmin " + e.admin + "\nauto_https off\npersist_config off\n" +
		"mailchimp {\napi_key key\nsender_domain example.com\napi_base {env.API_BASE}\n" +
		strings.ReplaceAll(outbox, "FOLDER", e.folder) + "\n}\n}\n" +
		"http://:" + e.port() + " {\nbind 127.0.0.1\n" + site + "}\n"
}

func (e *edge) port() string { return e.address[strings.LastIndexByte(e.address, ':')+1:] }

// runEdge runs a Caddy in a folder with the files.
func runEdge(t *testing.T, files map[string]string, caddyfile func(*edge) string) *edge {
	t.Helper()
	e := &edge{t: t, address: freeAddress(t), admin: freeAddress(t), folder: t.TempDir()}
	for name, text := range files {
		e.write(name, text)
	}
	e.config = filepath.Join(e.folder, "Caddyfile")
	// All is said there is to say: checkLog looks for secrets in it.
	e.write("Caddyfile", strings.Replace(caddyfile(e), "{\n", "{\n\tdebug\n", 1))
	var err error
	if e.log, err = os.Create(filepath.Join(e.folder, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.kill()
		e.log.Close()
		checkLog(t, e.log.Name())
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
	e.life.Lock()
	e.processes++
	e.process = exec.Command(binary, "run", "--config", e.config)
	e.process.Dir = e.folder
	e.process.Env = append(os.Environ(), "XDG_DATA_HOME="+e.folder, "XDG_CONFIG_HOME="+e.folder,
		"MANDRILL_API_KEY=key", "HOOK_KEY=s3cret-header",
		"API_BASE="+strings.Replace(e.mandrill, "/api/", "/"+e.processName(e.processes)+"/api/", 1))
	e.process.Stdout, e.process.Stderr = e.log, e.log
	err := e.process.Start()
	e.life.Unlock()
	if err != nil {
		e.t.Fatal(err)
	}
	waitFor(e.t, "Caddy", func() bool {
		connection, err := net.Dial("tcp", e.address)
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
}

// processName tells a process from all others. They are counted from 1.
func (e *edge) processName(n int) string { return fmt.Sprintf("%s-%d", e.port(), n) }

func (e *edge) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.folder, name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) read(name string) string {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(e.folder, name))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(text)
}

// waitForLog waits until the log has the text behind where the last wait ended.
func (e *edge) waitForLog(text string) {
	e.t.Helper()
	waitFor(e.t, "the log to have "+text, func() bool {
		log := e.read("log")
		at := strings.Index(log[e.logRead:], text)
		if at >= 0 {
			e.logRead += at + len(text)
		}
		return at >= 0
	})
}

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// command runs a command of the plugin's Caddy against the running one.
func (e *edge) command(arguments ...string) string {
	e.t.Helper()
	command := exec.Command(binary, append(arguments, "--address", e.admin)...)
	command.Dir = e.folder
	command.Env = e.process.Env
	output, err := command.CombinedOutput()
	if err != nil {
		e.t.Fatalf("%v: %v\n%s", arguments, err, output)
	}
	return string(output)
}

// kill kills the process, unless it was killed before.
func (e *edge) kill() {
	e.life.Lock()
	defer e.life.Unlock()
	if e.process == nil || e.process.ProcessState != nil {
		return
	}
	if e.deaths == nil {
		e.deaths = make(map[string]time.Time)
	}
	e.deaths[e.processName(e.processes)] = time.Now()
	_ = e.process.Process.Kill()
	_ = e.process.Wait()
}

// call calls the admin API, and returns the status and the body.
func (e *edge) call(method, path, body string) (int, string) {
	e.t.Helper()
	location := "http://" + e.admin + "/mailchimp/" + path
	r, err := http.NewRequestWithContext(e.t.Context(), method, location, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// client keeps a connection for each caller.
var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// post posts a hook for an address, and returns the status, or 0 where nothing was heard.
func (e *edge) post(address string) int {
	r, err := http.NewRequest(http.MethodPost, "http://"+e.address+"/", strings.NewReader(`{"email":"`+address+`"}`))
	if err != nil {
		e.t.Error(err)
		return 0
	}
	r.Host = "hooks.example.com" // as behind a load balancer
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// hooks numbers the hooks of all tests.
var hooks atomic.Int64

// load posts hooks with several callers until the context ends, and returns the addresses of those that were
// accepted.
func load(ctx context.Context, t *testing.T, edges ...*edge) []string {
	t.Helper()
	const callers = 8
	var mu sync.Mutex
	var accepted []string
	var posting sync.WaitGroup
	for caller := range callers {
		posting.Go(func() {
			for ctx.Err() == nil {
				address := fmt.Sprintf("hook%d@example.net", hooks.Add(1))
				switch status := edges[caller%len(edges)].post(address); status {
				case http.StatusNoContent:
					mu.Lock()
					accepted = append(accepted, address)
					mu.Unlock()
				case 0:
					// It was killed, and is not back yet.
					select {
					case <-time.After(5 * time.Millisecond):
					case <-ctx.Done():
					}
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	posting.Wait()
	return accepted
}

// loadFor is load for a time.
func loadFor(t *testing.T, duration time.Duration, edges ...*edge) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	return load(ctx, t, edges...)
}
