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

func TestPreviewCommand(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"t.jsonnet": `function(ctx) {
			key: 'k', message: { from_email: 'a@example.com', to: [{ email: ctx.email }], subject: 'Hi', text: 'Hi' } }`,
		"t.ctx.json": `{"email":"ada@example.net"}`,
		"a.jsonnet":  `function(ctx) { email_address: ctx.email, status_if_new: 'subscribed' }`,
	})
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
	answer, err := http.Post(address+"draw", "application/json",
		strings.NewReader(`{"template":"t.jsonnet","ctx":"{\"email\":\"ada@example.net\"}"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), `"recipients":["ada@example.net"]`) ||
		!strings.Contains(string(body), "names a key, which is ignored") {
		t.Errorf("drawn is %s, %v", body, err)
	}
	for ctx, want := range map[string]string{
		`{"email":"ada@example.net"}`: `{"change":{"email_address":"ada@example.net","status_if_new":"subscribed"}}`,
		`{"email":"ada"}`: `"line":1,"column":0,"field":"email_address","message":"email_address: must be an ` +
			`e-mail address`,
	} {
		asked, err := json.Marshal(map[string]string{"template": "a.jsonnet", "ctx": ctx})
		if err != nil {
			t.Fatal(err)
		}
		answer, err = http.Post(address+"draw", "application/json", bytes.NewReader(asked))
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("an audience's template for %s is %s, %v", ctx, body, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
