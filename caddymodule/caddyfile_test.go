package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
)

// TestAdapt compares what becomes of each testdata/adapt/*.caddyfile with the .json or the .error beside it.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".caddyfile")
		t.Run(filepath.Base(name), func(t *testing.T) {
			caddyfile, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			adapted, adaptErr := edgetest.Adapt(caddyfile)
			golden, other := name+".json", name+".error"
			var got bytes.Buffer
			if adaptErr != nil {
				golden, other = other, golden
				got.WriteString(adaptErr.Error())
			} else if err := json.Indent(&got, adapted, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				os.Remove(other)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; got:\n%s", err, got.Bytes())
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.Bytes(), want)
			}
		})
	}
}

// TestAdaptKeepsSecretsOutOfErrors makes each mistake with a secret in reach.
func TestAdaptKeepsSecretsOutOfErrors(t *testing.T) {
	for _, line := range []string{
		"api_key s3cret extra", "api_key s3cret {\n}", "api_key s3cret\napi_key s3cret",
		"auth header X-Key s3cret extra", "auth basic s3cret", "auth bearer s3cret", "auth off s3cret", "auth s3cret",
	} {
		_, err := edgetest.Adapt([]byte(":8080 {\nmailchimp_hook a.jsonnet {\n" + line + "\n}\n}"))
		if err == nil {
			t.Errorf("%q is accepted", line)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error has the secret: %v", line, err)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfile")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		caddyfile, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(caddyfile)
	}
	f.Fuzz(func(t *testing.T, caddyfile []byte) {
		// An import reads files, and a very long chain of braces is Caddy's own affair.
		if bytes.Contains(caddyfile, []byte("import")) || len(caddyfile) > 10_000 {
			t.Skip()
		}
		adapted, err := edgetest.Adapt(caddyfile)
		if err != nil {
			return
		}
		var config struct {
			Apps struct {
				Mailchimp json.RawMessage `json:"mailchimp"`
			} `json:"apps"`
		}
		if err := json.Unmarshal(adapted, &config); err != nil {
			t.Fatalf("adapted to what is not JSON: %v", err)
		}
		if config.Apps.Mailchimp != nil {
			var app caddymodule.App
			if err := json.Unmarshal(config.Apps.Mailchimp, &app); err != nil {
				t.Errorf("the app doesn't read what it was adapted to: %v", err)
			}
		}
	})
}
