package e2e

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestOfficialClient calls the sandbox with Mailchimp's own client, which `npm ci` in the folder node installs.
func TestOfficialClient(t *testing.T) {
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Skip("the client isn't installed: run npm ci in e2e/node")
	}
	server := httptest.NewServer(sandbox.New())
	defer server.Close()
	output, err := exec.Command("node", "node/sandbox.mjs", server.URL).CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Error(err)
	}
}
