package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loadedTemplates are those that a test has loaded, by file.
var loadedTemplates = make(map[string]*render.Template)

// load returns a template, which is read once.
func load(t *testing.T, file string) *render.Template {
	t.Helper()
	if loadedTemplates[file] == nil {
		loaded, err := render.Load(file, render.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		loadedTemplates[file] = loaded
	}
	return loadedTemplates[file]
}

// returned is what a template returns, or nil where it cancels.
func returned(t *testing.T, template string, ctx any) map[string]any {
	t.Helper()
	rendered, err := load(t, template).Render(t.Context(), ctx)
	if errors.Is(err, render.ErrCancelled) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

func message(t *testing.T, template string, ctx any) *mandrill.Request {
	t.Helper()
	rendered := returned(t, template, ctx)
	if rendered == nil {
		return nil
	}
	policy, err := mandrill.NewPolicy([]string{"example.com"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	request, err := mandrill.NewRequest(rendered, policy)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func change(t *testing.T, template string, ctx any) *audience.Change {
	t.Helper()
	rendered := returned(t, template, ctx)
	if rendered == nil {
		return nil
	}
	change, err := audience.NewChange(rendered)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func read(t *testing.T, file string) (value any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return value
}

func glob(t *testing.T, patterns ...string) (found []string) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: found %d files, %v", pattern, len(files), err)
		}
		found = append(found, files...)
	}
	return found
}

// TestGolden renders each <template>.ctx.json and <template>.<variant>.ctx.json. A mail or a change that is
// cancelled is null.
func TestGolden(t *testing.T) {
	for _, file := range glob(t, "*.ctx.json", "ory/*.ctx.json", "audience/*.ctx.json") {
		name := strings.TrimSuffix(file, ".ctx.json")
		t.Run(name, func(t *testing.T) {
			template, _, _ := strings.Cut(name, ".")
			var output bytes.Buffer
			encoder := json.NewEncoder(&output)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			var made any
			if strings.HasPrefix(name, "audience/") {
				made = change(t, template+".jsonnet", read(t, file))
			} else {
				made = message(t, template+".jsonnet", read(t, file))
			}
			if err := encoder.Encode(made); err != nil {
				t.Fatal(err)
			}
			got := output.Bytes()
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s%v", got, want, err)
			}
		})
	}
}

// TestEachTemplateHasACtx holds for all that a reader may try.
func TestEachTemplateHasACtx(t *testing.T) {
	for _, template := range glob(t, "*.jsonnet", "ory/*.jsonnet", "audience/*.jsonnet") {
		if slices.Contains(bodies, template) {
			continue
		}
		if _, err := os.Stat(strings.TrimSuffix(template, ".jsonnet") + ".ctx.json"); err != nil {
			t.Error(err)
		}
	}
}

// TestWelcomeOverCaptures welcomes everybody who registered with a real Kratos.
func TestWelcomeOverCaptures(t *testing.T) {
	files, err := filepath.Glob("../../shared/ory/captures/registration-after-[pi]*.json")
	if err != nil || len(files) == 0 {
		t.Skip("the captured requests are not here")
	}
	welcomed := 0
	for _, file := range files {
		capture := read(t, file).(map[string]any)
		ctx, ok := capture["body"].(map[string]any)
		if identity, has := ctx["identity"].(map[string]any); !ok || !has || identity["traits"] == nil {
			continue
		}
		request := message(t, "welcome.jsonnet", ctx)
		if request == nil {
			if !strings.Contains(file, "phoneonly") {
				t.Errorf("%s: nobody is welcomed", file)
			}
			continue
		}
		welcomed++
		data, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Message struct{ HTML string }
		}
		if err := json.Unmarshal(data, &body); err != nil {
			t.Fatal(err)
		}
		if body.Message.HTML == "" || strings.Contains(body.Message.HTML, "<b>") {
			t.Errorf("%s: %s", file, body.Message.HTML)
		}
		if !strings.Contains(request.Recipients()[0], "@") {
			t.Errorf("%s: sent to %v", file, request.Recipients())
		}
	}
	if welcomed == 0 {
		t.Error("nobody was welcomed")
	}
}
