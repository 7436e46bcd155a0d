package examples_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// oryCLI stands in for Ory's: it keeps a project's configuration in a file. As in JSON Patch, to add below what isn't
// there is an error.
const oryCLI = `#!/bin/sh
set -eu
if [ "$1" = get ]; then exec cat "$STATE"; fi
while [ $# -gt 0 ]; do
	if [ "$1" = --add ]; then
		jq --arg path "${2%%=*}" --argjson value "${2#*=}" '($path | split("/")[1:]) as $keys
			| if getpath($keys[:-1]) | type == "object" then setpath($keys; $value) else error("no parent: " + $path) end' \
			"$STATE" >"$STATE.new"
		mv "$STATE.new" "$STATE"
		shift
	fi
	shift
done
`

// project has hooks of its own, and a list of Ory's console.
const project = `{
	"courier": {},
	"selfservice": {"flows": {
		"registration": {"after": {"password": {"hooks": [{"hook": "web_hook", "config": {"url": "https://other.example"}},
			{"hook": "session"}]}}},
		"login": {"after": {"hooks": []}}, "settings": {}, "verification": {"after": {}}, "recovery": {"after": null}
	}}
}`

// network runs network.sh, and returns its output and the project's configuration.
func network(t *testing.T, folder string, arguments ...string) (output string, state any) {
	t.Helper()
	script, err := filepath.Abs("ory/network.sh")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sh", append([]string{script}, arguments...)...)
	file := filepath.Join(folder, "state.json")
	command.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "STATE="+file,
		"PROJECT=p", "WORKSPACE=w", "HOOK_KEY=s3cret", "HOOKS=https://hooks.example.com")
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	return string(printed), read(t, file)
}

// TestOryNetwork compares what network.sh makes of a project with kratos.yml.
func TestOryNetwork(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not here")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"ory": oryCLI, "state.json": project} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := read(t, filepath.Join(folder, "state.json"))
	shown, state := network(t, folder, "--dry-run")
	if !reflect.DeepEqual(state, before) {
		t.Errorf("--dry-run changed the project: %s", encode(state))
	}
	if strings.Contains(shown, "s3cret") || !json.Valid([]byte(shown)) {
		t.Errorf("--dry-run shows %s", shown)
	}
	output, once := network(t, folder)
	if output != "" {
		t.Errorf("it says %s", output)
	}
	if _, twice := network(t, folder); !reflect.DeepEqual(once, twice) {
		t.Errorf("the second run made of it %s", encode(twice))
	}

	file, err := os.ReadFile("ory/kratos.yml")
	if err != nil {
		t.Fatal(err)
	}
	var kratos map[string]any
	if err := yaml.Unmarshal(file, &kratos); err != nil {
		t.Fatal(err)
	}
	// What was there stays.
	other := map[string]any{"hook": "web_hook", "config": map[string]any{"url": "https://other.example"}}
	password := objectAt(t, kratos, "selfservice", "flows", "registration", "after", "password")
	password["hooks"] = []any{password["hooks"].([]any)[0], other, map[string]any{"hook": "session"}}
	code := objectAt(t, kratos, "selfservice", "flows", "registration", "after", "code")
	code["hooks"] = code["hooks"].([]any)[:1]
	for name, flow := range objectAt(t, kratos, "selfservice", "flows") {
		got := objectAt(t, once, "selfservice", "flows", name)["after"]
		if want := inline(t, flow.(map[string]any)["after"]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s after is\n%s\nand in kratos.yml\n%s", name, encode(got), encode(want))
		}
		if !strings.Contains(shown, "/selfservice/flows/"+name+"/after") {
			t.Errorf("--dry-run doesn't show %s", name)
		}
	}
	want := inline(t, kratos["courier"]).(map[string]any)
	want["message_retries"] = 900.0
	if got := objectAt(t, once)["courier"]; !reflect.DeepEqual(got, any(want)) {
		t.Errorf("the courier is\n%s\nand in kratos.yml\n%s", encode(got), encode(want))
	}
}

// objectAt walks into objects.
func objectAt(t *testing.T, value any, path ...string) map[string]any {
	t.Helper()
	for _, key := range path {
		value = value.(map[string]any)[key]
	}
	found, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("%v is %v", path, value)
	}
	return found
}

// inline puts the files that a configuration names into it.
func inline(t *testing.T, value any) any {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		result := make(map[string]any, len(value))
		for key, child := range value {
			result[key] = inline(t, child)
		}
		return result
	case []any:
		result := make([]any, len(value))
		for i, child := range value {
			result[i] = inline(t, child)
		}
		return result
	case string:
		value = strings.ReplaceAll(value, "HOOK_KEY", "s3cret")
		if name, ok := strings.CutPrefix(value, "file:///etc/kratos/"); ok {
			data, err := os.ReadFile("ory/" + name)
			if err != nil {
				t.Fatal(err)
			}
			return "base64://" + base64.StdEncoding.EncodeToString(data)
		}
		return value
	}
	return value
}
