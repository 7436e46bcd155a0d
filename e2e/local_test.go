package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// local is what examples/local/run runs, at free ports.
type local struct {
	t           *testing.T
	site, inbox string
}

// runLocal runs it with other words in its files.
func runLocal(t *testing.T, changes ...string) *local {
	t.Helper()
	kratos, err := kratosBinary()
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, port := range []string{":4455", ":4433", "port: 4433", ":4434", "port: 4434", ":8443", ":8025", ":2019"} {
		address := freeAddress(t)
		free := address[strings.LastIndexByte(address, ':')+1:]
		if strings.HasPrefix(port, "port") { // the one before it, in other words
			ports = append(ports, port, "port: "+ports[len(ports)-1][1:])
			continue
		}
		ports = append(ports, port, ":"+free)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../examples")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"run", "Caddyfile", "kratos.yml", "page/index.html"} {
		file := filepath.Join(folder, "local", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer(append(ports, changes...)...).Replace(string(text))
		if err := os.WriteFile(file, []byte(changed), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	process := exec.Command(filepath.Join(folder, "local", "run"))
	process.Env = append(os.Environ(), "CADDY="+binary, "KRATOS="+kratos, "TMPDIR="+t.TempDir())
	process.Stdout, process.Stderr = &log, &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
		if t.Failed() {
			t.Logf("run says:\n%s", log.String())
		}
	})
	l := &local{t: t, site: "http://localhost" + ports[1], inbox: "http://localhost" + ports[13]}
	waitFor(t, "Kratos behind the page", func() bool {
		answer, err := http.Get(l.site + "/self-service/registration/api")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return l
}

// mails are the texts of the mails in the sandbox, by their subjects.
func (l *local) mails() map[string]string {
	l.t.Helper()
	answer, err := http.Get(l.inbox + "/sandbox/messages")
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	var listed []struct {
		Request struct {
			Message struct{ Subject, Text string }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&listed); err != nil {
		l.t.Fatal(err)
	}
	found := make(map[string]string)
	for _, mail := range slices.Backward(listed) { // the newest comes first
		found[mail.Request.Message.Subject] = mail.Request.Message.Text
	}
	return found
}

// gets waits until the mails with the subjects are there, and no others.
func (l *local) gets(subjects ...string) map[string]string {
	l.t.Helper()
	waitFor(l.t, strings.Join(subjects, " and "), func() bool { return len(l.mails()) >= len(subjects) })
	mails := l.mails()
	for subject := range mails {
		if !slices.Contains(subjects, subject) {
			l.t.Errorf("there is a mail %q", subject)
		}
	}
	return mails
}

// fill fills a field of the form that is there, or comes.
func (b *browser) fill(name, value string) {
	b.t.Helper()
	field := `input[name="` + name + `"]:not([type=hidden])`
	b.until(`document.querySelector('` + field + `')`)
	b.do(chromedp.SendKeys(chromedp.CSS(field), value))
}

// signUp goes through the two steps of the form.
func (l *local) signUp(b *browser, address string) {
	l.t.Helper()
	b.do(chromedp.Navigate(l.site + "/registration"))
	b.fill("traits.email", address)
	b.fill("traits.name.first", "Ada")
	b.click(`button[value="profile"]`)
	b.fill("password", password)
	if kind := evaluate[string](b, `document.querySelector('[name="traits.email"]').type`); kind != "hidden" {
		l.t.Errorf("the second step has the address as %s", kind)
	}
	b.click(`button[value="password"]`)
}

// TestLocal runs examples/local, and signs up there with a browser.
func TestLocal(t *testing.T) {
	t.Parallel()
	l := runLocal(t)
	b := newBrowser(t, 800, 900)
	l.signUp(b, "ada@example.net")
	b.until(`location.pathname === '/'`)
	const welcome, confirm = "Welcome to Example Club", "Confirm your e-mail address"
	mails := l.gets(welcome, confirm)
	if !strings.HasPrefix(mails[welcome], "Hello Ada,\n") {
		t.Errorf("the mail begins %.50q", mails[welcome])
	}
	b.do(chromedp.Navigate(l.site + "/verification"))
	b.fill("email", "ada@example.net")
	b.click(`button[value="code"]`)
	waitFor(t, "a second code", func() bool { return l.mails()[confirm] != mails[confirm] })
	b.fill("code", digits.FindString(l.mails()[confirm]))
	b.click(`button[value="code"]`)
	b.until(`document.querySelector('.message.success, .message.info')?.innerText.includes('verified')`)
	l.gets(welcome, confirm, "Your address is confirmed")
	b.stayedHere()
}

// TestRejectedAddressInTheBrowser has the person see the rejection in the second step, in which the address is hidden.
func TestRejectedAddressInTheBrowser(t *testing.T) {
	t.Parallel()
	l := runLocal(t, "ignore: true", "parse: true", "auth header", "delivery sync\n\t\tauth header")
	b := newBrowser(t, 800, 900)
	l.signUp(b, rejected)
	b.until(`document.querySelector('.message.error')`)
	if got := evaluate[string](b, `document.querySelector('main').innerText`); strings.Count(got, rejectedText) != 1 {
		t.Errorf("the person sees %s", got)
	}
	b.stayedHere()
}
