package command

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func TestNewKeyCommand(t *testing.T) {
	var output bytes.Buffer
	cmd := newKeyCommand()
	cmd.SetOut(&output)
	cmd.SetArgs(nil)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(output.String()))
	if err != nil || len(key) != outbox.KeySize {
		t.Errorf("the key is %q, %v", output.String(), err)
	}
}
