package e2e

import (
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var measure = flag.Int("measure", 0, "how many people register at each Kratos of TestWaiting; 0 skips it")

// slow is how long the stand-in for Mandrill takes to answer.
const slow = 150 * time.Millisecond

// TestWaiting measures how long a registration takes by the way in which its mail is sent, and prints a table.
func TestWaiting(t *testing.T) {
	if *measure == 0 {
		t.Skip("-measure says how often")
	}
	m := newMandrill(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(slow)
		m.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	m.url = server.URL + "/api/1.0"
	examples, err := filepath.Abs("../examples/ory")
	if err != nil {
		t.Fatal(err)
	}
	site := "mailchimp_hook /courier {\ntemplate " + examples + "/courier.jsonnet\n" + authLines + "}\n"
	for _, delivery := range []string{"sync", "queued"} {
		lines := authLines + "delivery " + delivery + "\n}\n"
		site += "mailchimp_hook /hooks/" + delivery + " {\ntemplate " + examples + "/registration.jsonnet\n" + lines
		site += "mailchimp_hook /hooks/small-" + delivery + " {\ntemplate small.jsonnet\n" + lines
	}
	const small = `function(ctx) { message: {
		from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Welcome', text: 'Hi',
	} }`
	e := newEdgeWith(t, m, "", site, map[string]string{"small.jsonnet": small})
	straight := hook(e, "", "plain", "header")
	asObject(straight["config"])["url"] = m.url + "/messages/send"
	withKey := strings.Replace(small, "{ message", "{ key: 'key', message", 1)
	asObject(straight["config"])["body"] = "base64://" + base64.StdEncoding.EncodeToString([]byte(withKey))
	ways := []struct {
		name   string
		kratos *kratos
		took   []time.Duration
	}{
		{name: "no hook", kratos: registering(t, e)},
		{name: "plain, straight to Mandrill", kratos: registering(t, e, straight)},
		{name: "plain, `delivery sync`", kratos: registering(t, e, hook(e, "sync", "plain", "header"))},
		{name: "plain, `delivery queued`", kratos: registering(t, e, hook(e, "queued", "plain", "header"))},
		{
			name:   "plain, `delivery queued`, a template of four fields",
			kratos: registering(t, e, hook(e, "small-queued", "plain", "header")),
		},
		{name: "`response.ignore`, `delivery queued`", kratos: registering(t, e, hook(e, "queued", "ignore", "header"))},
	}
	const warm = 3
	for n := range *measure + warm {
		for i := range ways {
			p := newPerson(t, ways[i].kratos, false)
			flow := p.start("registration")
			traits := object{"email": fmt.Sprintf("ada%d@example.net", n)}
			fields := object{"method": "password", "password": password, "traits": traits}
			started := time.Now()
			got := p.submit(flow, fields)
			if got.status != http.StatusOK {
				t.Fatalf("%s: %d %s", ways[i].name, got.status, got.text)
			}
			if n >= warm {
				ways[i].took = append(ways[i].took, time.Since(started))
			}
		}
	}
	// The fastest tenth is what other load on the machine disturbs least.
	table := "| hook | median | longer than without | fastest tenth | longer than without |\n" +
		"| --- | --- | --- | --- | --- |\n"
	for _, way := range ways {
		median, fast := milliseconds(way.took, 2), milliseconds(way.took, 10)
		table += fmt.Sprintf("| %s | %.1f ms | %.1f ms | %.1f ms | %.1f ms |\n", way.name,
			median, median-milliseconds(ways[0].took, 2), fast, fast-milliseconds(ways[0].took, 10))
	}
	fmt.Fprint(os.Stdout, table)
}

// milliseconds is the time within which one of `parts` of them were.
func milliseconds(durations []time.Duration, parts int) float64 {
	return float64(slices.Sorted(slices.Values(durations))[len(durations)/parts].Microseconds()) / 1000
}
