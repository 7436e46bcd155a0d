package vm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
)

// TestReferenceSuite runs go-jsonnet's own test programs, as far as they are single files.
func TestReferenceSuite(t *testing.T) {
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-jsonnet").Output()
	if err != nil {
		t.Skip("the sources of go-jsonnet are not here: ", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(folder)), "testdata", "*.jsonnet"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d programs, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			program, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(program), "import") || strings.Contains(string(program), "extVar") ||
				strings.Contains(string(program), "native") {
				t.Skip("needs more than itself")
			}
			if _, err := jsonnet.SnippetToAST("", string(program)); err != nil {
				t.Skip("it is about the parser")
			}
			agree(t, string(program), map[string]any{})
		})
	}
}
