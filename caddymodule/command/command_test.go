package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func execute(t *testing.T, cmd *cobra.Command, args ...string) (output, errors string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestHelpKnowsAudiences: an operator learns from the help how the sender of an audience's entries is called.
func TestHelpKnowsAudiences(t *testing.T) {
	for _, test := range []struct {
		command func() *cobra.Command
		args    []string
		want    string
	}{
		{statusCommand, nil, "list:<id>"},
		{outboxCommand, []string{"list"}, "list:<id>"},
		{outboxCommand, []string{"retry"}, "list:<id>"},
		{outboxCommand, []string{"pause"}, "list:<id>"},
		{outboxCommand, []string{"resume"}, "list:<id>"},
		{outboxCommand, []string{"show"}, "the change of an audience"},
	} {
		if output, _, err := execute(t, test.command(), append(test.args, "--help")...); err != nil ||
			!strings.Contains(output, test.want) {
			t.Errorf("%v lacks %q: %s, %v", test.args, test.want, output, err)
		}
	}
}
