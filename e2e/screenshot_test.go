package e2e

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

var update = flag.Bool("update", false, "renew the README's pictures")

// pictures is where they are put: where the README has them, or else where nobody looks.
func pictures(t *testing.T) string {
	if *update {
		return "../docs/images"
	}
	return t.TempDir()
}

// TestPictures makes the README's pictures from the examples, light and dark.
func TestPictures(t *testing.T) {
	into := pictures(t)
	if err := os.MkdirAll(into, 0o755); err != nil {
		t.Fatal(err)
	}
	s := sandbox.New()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	for _, mail := range []string{"ory-recipe", "send-template", "welcome", "welcome.german"} {
		received(t, server.URL, mail)
	}
	b := newBrowser(t, 1280, 800)
	shots := func(name, selector string) {
		t.Helper()
		b.until(selector)
		for _, scheme := range []string{"light", "dark"} {
			b.prefer(scheme)
			b.click(`input[value=` + scheme + `]`)
			b.until(`document.querySelector('.stage iframe').dataset.scheme === '` + scheme + `'`)
			file := filepath.Join(into, name+"-"+scheme+".png")
			b.shot(file)
			// An empty page makes a smaller picture.
			if info, err := os.Stat(file); err != nil || info.Size() < 20_000 {
				t.Errorf("%s: %v, %v", file, info, err)
			}
		}
	}
	b.do(chromedp.Navigate(server.URL + "/"))
	b.click(`#mails a`)
	shots("inbox", `document.querySelector('.stage iframe')?.dataset.loaded &&
		document.querySelectorAll('#mails a').length === 4`)
	b.do(chromedp.Navigate(preview(t, "../examples") + "#template=welcome.jsonnet&ctx=welcome.german.ctx.json"))
	b.prefer("light")
	shots("preview", `document.querySelector('.stage iframe')?.dataset.loaded &&
		document.getElementById('ctx').value.includes('Lovelace')`)
	b.stayedHere()
}

// received lets the sandbox have one of the examples' golden messages.
func received(t *testing.T, address, name string) {
	t.Helper()
	data, err := os.ReadFile("../examples/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(data, &body); err != nil {
		t.Fatal(err)
	}
	body["key"] = "key"
	endpoint := "send"
	if body["template_name"] != nil {
		endpoint = "send-template"
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(address+"/api/1.0/messages/"+endpoint, "application/json", strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d", name, answer.StatusCode)
	}
}
