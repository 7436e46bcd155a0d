package caddymodule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// TestValidateHasNoEffect runs beside an edge, as `caddy validate` does.
func TestValidateHasNoEffect(t *testing.T) {
	data := caddy.AppDataDir()
	kept := strings.Count(tree(t, data), ".json")
	e := edgetest.New(t, edgetest.Minimal, "")
	e.Post(edgetest.Ada)
	edgetest.WaitUntil(t, "the template's last good version is kept", func() bool {
		files := tree(t, data)
		return strings.Count(files, ".json") > kept && !strings.Contains(files, ".new-")
	})
	before := tree(t, data)
	other := e.Path("other.jsonnet")
	e.Write("other.jsonnet", edgetest.Minimal)
	if err := validate(t, strings.Replace(e.Caddyfile(""), e.Path("t.jsonnet"), other, 1)); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, data); after != before {
		t.Errorf("validating changed\n%s\nto\n%s", before, after)
	}
	if got := e.Post(edgetest.Ada); got.Status != 204 || got.Header.Get("Outbox-Duplicate") != "true" {
		t.Errorf("after validating: %+v", got)
	}
}

// tree lists the files below a folder.
func tree(t *testing.T, folder string) string {
	t.Helper()
	var files strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			fmt.Fprintln(&files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files.String()
}

// TestSecretsStayOutOfTheConfiguration adapts, as `caddy adapt` and the autosave do.
func TestSecretsStayOutOfTheConfiguration(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	adapted, err := edgetest.Adapt([]byte(e.Caddyfile("")))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{edgetest.APIKey, edgetest.HookKey} {
		if strings.Contains(string(adapted), secret) {
			t.Errorf("the configuration has %q", secret)
		}
	}
}
