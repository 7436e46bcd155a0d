package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// described are the labels of each metric, by its name.
func described(t *testing.T) map[string]string {
	t.Helper()
	pattern := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([\w,]*)\}`)
	names := make(map[string]string)
	for _, collector := range newMetrics().collectors() {
		descs := make(chan *prometheus.Desc, 20)
		collector.Describe(descs)
		close(descs)
		for desc := range descs {
			match := pattern.FindStringSubmatch(desc.String())
			if match == nil {
				t.Fatalf("%s can't be read", desc)
			}
			names[match[1]] = match[2]
		}
	}
	return names
}

// TestNamedMetricsExist looks for each metric, with its labels, that the examples and the documentation name.
func TestNamedMetricsExist(t *testing.T) {
	known := described(t)
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../README.md", "../examples/grafana/mailchimp.json",
		"../examples/prometheus/mailchimp.rules.yml", "../examples/prometheus/mailchimp.test.yml")
	named := regexp.MustCompile(`(caddy_mailchimp_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)(?:[=!]~?\\?"|,|$)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			name := match[1]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			labels, ok := known[name]
			if !ok {
				t.Errorf("%s names %s, which doesn't exist", file, match[1])
				continue
			}
			for _, l := range label.FindAllStringSubmatch(match[2], -1) {
				if strings.Contains(match[2], l[1]+"=") || strings.Contains(match[2], l[1]+"!=") ||
					!strings.ContainsAny(match[2], `="`) {
					if l[1] != "instance" && !strings.Contains(","+labels+",", ","+l[1]+",") {
						t.Errorf("%s names %s by %s, and it has %s", file, match[1], l[1], labels)
					}
				}
			}
		}
	}
}

// TestOperationsIsWhole has each metric and each alert in docs/operations.md.
func TestOperationsIsWhole(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range described(t) {
		if !strings.Contains(string(page), "`"+name) {
			t.Errorf("docs/operations.md lacks %s", name)
		}
	}
	rules, err := os.ReadFile("../examples/prometheus/mailchimp.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	for _, alert := range alerts {
		if !strings.Contains(string(page), "`"+alert[1]+"`") {
			t.Errorf("docs/operations.md lacks %s", alert[1])
		}
	}
	if len(alerts) == 0 {
		t.Error("there are no alerts")
	}
}
