package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSites has each site that is shown end with respond 404, and lead with a header that Ory and Caddy hide.
func TestSites(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../Caddyfile.example", "*/Caddyfile"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	block := regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	site := regexp.MustCompile(`(?ms)^[^\s({#][^\n]*\{\n(.*?)^\}`)
	handler := regexp.MustCompile(`(?m)^\s+(mailchimp_(hook|audience|events)\b|import hook )`)
	sites := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{string(content)}
		if strings.HasSuffix(file, ".md") {
			texts = nil
			for _, found := range block.FindAllStringSubmatch(string(content), -1) {
				texts = append(texts, found[1])
			}
		}
		for _, text := range texts {
			for _, found := range site.FindAllStringSubmatch(text, -1) {
				if !handler.MatchString(found[1]) {
					continue
				}
				sites++
				if !strings.HasSuffix(found[1], "\n\trespond 404\n") {
					t.Errorf("%s: a site does not end with respond 404:\n%s", file, found[0])
				}
			}
			if strings.Contains(text, "auth header ") && !strings.Contains(text, "auth header Authorization ") {
				t.Errorf("%s: the credential is in a header that logs show:\n%s", file, text)
			}
		}
	}
	if sites < 6 {
		t.Errorf("there are %d sites", sites)
	}
}
