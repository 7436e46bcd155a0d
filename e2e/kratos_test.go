package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// kratosBinary is the program that E2E_KRATOS names, or builds the Kratos of the module in kratos/, once.
var kratosBinary = sync.OnceValues(func() (string, error) {
	if built := os.Getenv("E2E_KRATOS"); built != "" {
		return built, nil
	}
	file := filepath.Join(filepath.Dir(binary), "kratos")
	build := exec.Command("go", "build", "-tags", "sqlite,json1", "-o", file, "github.com/ory/kratos")
	build.Dir, build.Stdout, build.Stderr = "kratos", os.Stdout, os.Stderr
	return file, build.Run()
})

// migrated is a database with Kratos's tables and nothing in it.
var migrated = sync.OnceValues(func() ([]byte, error) {
	kratos, err := kratosBinary()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(filepath.Dir(binary), "kratos.sqlite")
	migrate := exec.Command(kratos, "migrate", "sql", "--yes", "sqlite://"+file+"?_fk=true")
	if output, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrating: %w\n%s", err, output)
	}
	return os.ReadFile(file)
})

// kratos is a running Ory Kratos.
type kratos struct {
	t      *testing.T
	public string
	admin  string
	logs   string
}

// newKratos runs a Kratos. The configuration is JSON or YAML in which PUBLIC, ADMIN and FOLDER stand for its
// addresses and its folder.
func newKratos(t *testing.T, config func(k *kratos, folder string) []byte) *kratos {
	t.Helper()
	program, err := kratosBinary()
	if err != nil {
		t.Fatal(err)
	}
	database, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "kratos.sqlite"), database, 0o600); err != nil {
		t.Fatal(err)
	}
	k := &kratos{
		t: t, public: "http://" + freeAddress(t), admin: "http://" + freeAddress(t), logs: filepath.Join(folder, "log"),
	}
	file := filepath.Join(folder, "kratos.yml")
	if err := os.WriteFile(file, config(k, folder), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(k.logs)
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(program, "serve", "--config", file, "--dev", "--watch-courier", "--sqa-opt-out")
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(k.logs)
			t.Logf("the end of Kratos's log:\n%s", text[max(0, len(text)-3000):])
		}
	})
	waitFor(t, "Kratos", func() bool {
		answer, err := http.Get(k.admin + "/admin/health/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return k
}

// object is a part of a configuration or an answer.
type object = map[string]any

// at walks into a value, and is nil where the way ends.
func at(value any, path ...string) any {
	for _, key := range path {
		value = asObject(value)[key]
	}
	return value
}

func asObject(value any) object {
	o, _ := value.(object)
	return o
}

// The ways in which Ory proves itself to our hooks.
var auths = map[string]object{
	"header": {"type": "api_key", "config": object{"name": "X-Hook-Key", "value": "s3cret-header", "in": "header"}},
	"cookie": {"type": "api_key", "config": object{"name": "hook", "value": "s3cret-cookie", "in": "cookie"}},
	"basic":  {"type": "basic_auth", "config": object{"user": "ory", "password": "s3cret-password"}},
	"wrong":  {"type": "api_key", "config": object{"name": "X-Hook-Key", "value": "wrong", "in": "header"}},
}

// authLines let all of them in but the wrong one.
const authLines = "auth header X-Hook-Key s3cret-header\n" +
	"auth cookie hook s3cret-cookie\n" +
	"auth basic ory s3cret-password\n"

// hook is a web hook in Kratos's configuration. Its ctx has its name, beside what Ory gives.
func hook(edge *edge, name, kind, auth string) object {
	body := fmt.Sprintf("function(ctx) ctx { hook: '%s', request_cookies:: null, request_url:: null, "+
		"flow+: { ui:: null, request_url:: null } }", name)
	config := object{
		"url": "http://" + edge.address + "/hooks/" + name, "method": "POST", "auth": auths[auth],
		"body": "base64://" + base64.StdEncoding.EncodeToString([]byte(body)),
	}
	switch kind {
	case "parse":
		config["response"] = object{"parse": true}
	case "ignore":
		config["response"] = object{"ignore": true}
	}
	return object{"hook": "web_hook", "config": config}
}

// configure makes a configuration whose flows have the hooks.
func configure(edge *edge, flows object) func(*kratos, string) []byte {
	const ui = "http://127.0.0.1:1/"
	for _, name := range []string{"registration", "login", "settings", "verification", "recovery", "error"} {
		flow := asObject(flows[name])
		if flow == nil {
			flow = object{}
			flows[name] = flow
		}
		flow["ui_url"] = ui + name
		if name == "verification" || name == "recovery" {
			flow["enabled"] = true
			if flow["use"] == nil {
				flow["use"] = "code"
			}
		}
	}
	schema, err := filepath.Abs("person.schema.json")
	if err != nil {
		panic(err)
	}
	courier, err := filepath.Abs("../examples/ory/courier-body.jsonnet")
	if err != nil {
		panic(err)
	}
	return func(k *kratos, folder string) []byte {
		config, err := json.Marshal(object{
			"version": "v1.3.1",
			"dsn":     "sqlite://" + folder + "/kratos.sqlite?_fk=true&_busy_timeout=10000",
			"serve": object{
				"public": listen(k.public), "admin": listen(k.admin),
			},
			"identity": object{"default_schema_id": "person", "schemas": []object{{"id": "person", "url": "file://" + schema}}},
			"selfservice": object{
				"default_browser_return_url": ui + "done",
				"methods": object{
					"password": object{"enabled": true, "config": object{"haveibeenpwned_enabled": false}},
					"code":     object{"enabled": true, "passwordless_enabled": true},
					"link":     object{"enabled": true},
				},
				"flows": flows,
			},
			"courier": object{
				"delivery_strategy": "http",
				"worker":            object{"pull_wait": "100ms"},
				"http": object{"request_config": object{
					"url": "http://" + edge.address + "/courier", "method": "POST", "auth": auths["header"],
					"body": "file://" + courier, "headers": object{"Content-Type": "application/json"},
				}},
			},
			"hashers": object{"algorithm": "bcrypt", "bcrypt": object{"cost": 4}},
			"secrets": object{"cookie": []string{"a-secret-of-32-characters-or-more"}},
		})
		if err != nil {
			panic(err)
		}
		return config
	}
}

func listen(base string) object {
	u, err := url.Parse(base)
	if err != nil {
		panic(err)
	}
	var port int
	_, _ = fmt.Sscan(u.Port(), &port)
	return object{"base_url": base + "/", "host": u.Hostname(), "port": port}
}

// newClient keeps cookies as a browser does, and follows no redirections.
func newClient() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * time.Minute,
	}
}
