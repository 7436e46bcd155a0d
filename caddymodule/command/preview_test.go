package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestPreviewCommandFails(t *testing.T) {
	folder := writeFiles(t, map[string]string{"t.jsonnet": "function(ctx) null"})
	for _, args := range [][]string{
		{filepath.Join(folder, "none")},
		{filepath.Join(folder, "t.jsonnet")},
		{folder, folder},
		{folder, "--port", "99999"},
	} {
		if _, errors, err := execute(t, previewCommand(), args...); err == nil || errors == "" {
			t.Errorf("%q: %v, %q", args, err, errors)
		}
	}
}

func TestPreviewCommand(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"t.jsonnet": `function(ctx) {
			key: 'k', message: { from_email: 'a@example.com', to: [{ email: ctx.email }], subject: 'Hi', text: 'Hi' } }`,
		"t.ctx.json": `{"email":"ada@example.net"}`,
		"a.jsonnet":  `function(ctx) { email_address: ctx.email, status_if_new: 'subscribed' }`,
	})
	cmd := previewCommand()
	output, printed := io.Pipe()
	cmd.SetOut(printed)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{folder, "--port", "0", "--sender-domain", "example.com"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), " are at ")
	for _, test := range []struct{ name, template, ctx, want string }{
		{"recipient", "t.jsonnet", `{"email":"ada@example.net"}`, `"recipients":["ada@example.net"]`},
		{"key", "t.jsonnet", `{"email":"ada@example.net"}`, "names a key, which is ignored"},
		{
			"audience", "a.jsonnet", `{"email":"ada@example.net"}`,
			`{"change":{"email_address":"ada@example.net","status_if_new":"subscribed"}}`,
		},
		{
			"audience, invalid", "a.jsonnet", `{"email":"ada"}`, `"line":1,"column":0,"field":"email_address",` +
				`"message":"email_address: must be an e-mail address`,
		},
	} {
		if got := draw(t, address, test.template, test.ctx); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// draw returns what the page gets for a template and a ctx.
func draw(t *testing.T, address, template, ctx string) string {
	t.Helper()
	asked, err := json.Marshal(map[string]string{"template": template, "ctx": ctx})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(address+"draw", "application/json", bytes.NewReader(asked))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
