package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// raw posts to the API and returns the body of the answer.
func raw(t *testing.T, url, body string) string {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(read)
}

// TestQueries are searches as Lucene has them.
func TestQueries(t *testing.T) {
	_, c, _ := start(t)
	for i, address := range []string{"ada@example.net", "bo@example.net", "cy@example.org"} {
		if _, err := c.Send(t.Context(), request(t, fmt.Sprintf(
			`{"message":{"subject":"Hello number %d","tags":["t%[1]d"],"metadata":{"entry":"e%[1]d","box":"b 1"},
			"recipient_metadata":[{"rcpt":"cy@example.org","values":{"own":7}}],%s}}`, i, to(address)))); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{
		"": 3, "*": 3, "ada": 1, "example.net": 2, "number 1": 1, "NUMBER AND 1": 1, "number 1 2": 0,
		"u_entry:e1": 1, `u_entry:"e1"`: 1, "u_entry:e9": 0, "u_other:e1": 0, `u_box:"b 1"`: 3, "u_own:7": 1,
		"u_entry:e0 OR u_entry:e1 OR u_entry:e9": 2, "u_entry:(e0 OR e2)": 2, `u_entry:("e0" OR "e1") ada`: 1,
		"(ada OR bo) u_entry:e1": 1, "u_entry:e0 OR (bo AND u_entry:e1)": 2, "ORder": 0, "ada OR": 3,
		"email:example.org": 1, "full_email:ADA@example.net": 1, "full_email:example.net": 0, "sender:example.com": 3,
		`subject:"number 2"`: 1, "tags:t1": 1, "subaccount:none": 0, "unknown:ada": 0, "u_entry:": 0, "((": 3, `"ada`: 1,
		")": 3, ":": 3,
	} {
		found, err := c.Search(t.Context(), query, 10)
		if err != nil || len(found) != want {
			t.Errorf("%s finds %d, want %d, %v", query, len(found), want, err)
		}
	}
}

func TestSearchArguments(t *testing.T) {
	_, c, base := start(t)
	if _, err := c.Send(t.Context(),
		request(t, `{"message":{"tags":["a"],`+to("ada@example.net", "bo@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	for arguments, want := range map[string]int{
		"":                                      2,
		`,"limit":1`:                            1,
		`,"date_from":"` + day(-1) + `"`:        2,
		`,"date_from":"` + day(2) + `"`:         0,
		`,"date_to":"` + day(-1) + `"`:          0,
		`,"date_to":"` + day(1) + `"`:           2,
		`,"date_from":null,"tags":["b","a"]`:    2,
		`,"tags":["b"]`:                         0,
		`,"senders":["hello@example.com"]`:      2,
		`,"senders":["other@example.com"]`:      0,
		`,"api_keys":["k"],"query":"u_x:1 OR "`: 2,
	} {
		body := raw(t, base+"/api/1.0/messages/search", `{"key":"k"`+arguments+`}`)
		if got := strings.Count(body, `"_id"`); got != want {
			t.Errorf("%s finds %d, want %d: %s", arguments, got, want, body)
		}
	}
	status, answer := post(t, base+"/api/1.0/messages/search", `{"key":"k","date_to":"tomorrow"}`)
	if status != 422 || answer["message"] != `Validation error: {"date_to":"Please enter a valid date, YYYY-MM-DD"}` {
		t.Errorf("a date that is none: %d %v", status, answer)
	}
}

// TestSettings makes the account as strict as Mandrill's.
func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		call := func(endpoint, body string) string {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/"+endpoint, strings.NewReader(body)))
			return fmt.Sprint(w.Code, " ", strings.Count(w.Body.String(), `"_id"`))
		}
		set := func(body string, want int) {
			t.Helper()
			w := get(t, s, "PUT", "/sandbox/settings", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body)) })
			if w.Code != want {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		}
		call("messages/send", `{"key":"k","message":{"from_email":"a@example.com","metadata":{"entry":1},`+
			to("ada@example.net")+`}}`)
		search := func(want string) {
			t.Helper()
			if got := call("messages/search", `{"key":"k","query":"u_entry:1"}`); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		search("200 1")
		set(`{"only_indexed_metadata":true,"searches_per_minute":2,"search_lag":"20s"}`, 204)
		if w := get(t, s, "GET", "/sandbox/settings", nil); !strings.Contains(w.Body.String(), `"search_lag":"20s"`) {
			t.Errorf("the settings are %s", w.Body)
		}
		search("200 0")
		call("metadata/add", `{"key":"k","name":"entry"}`)
		search("200 0")
		search("429 0")
		time.Sleep(30 * time.Second)
		search("200 1")
		search("429 0")
		set(`{}`, 204)
		search("200 1")
		for _, wrong := range []string{`{"searches_per_minute":-1}`, `{"search_lag":"long"}`, `{"other":1}`} {
			set(wrong, 400)
		}
	})
}

// TestScheduled: a mail waits for its time.
func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New()
		call := func(endpoint, body string) string {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/"+endpoint, strings.NewReader(body)))
			return w.Body.String()
		}
		send := func(at string) string {
			return call("messages/send", `{"key":"k","send_at":"`+at+`","message":{"from_email":"a@example.com",`+
				to("ada@example.net")+`}}`)
		}
		in := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(time.DateTime) }
		for at, want := range map[string]string{
			in(time.Hour): `"scheduled"`, in(-time.Hour): `"sent"`, "tomorrow": `send_at`,
		} {
			if got := send(at); !strings.Contains(got, want) {
				t.Errorf("%s: %s", at, got)
			}
		}
		for body, want := range map[string]int{
			`{"key":"k"}`: 1, `{"key":"k","to":"ADA@example.net"}`: 1, `{"key":"k","to":"bo@example.net"}`: 0,
		} {
			if got := call("messages/list-scheduled", body); strings.Count(got, `"_id"`) != want {
				t.Errorf("%s: %s", body, got)
			}
		}
		time.Sleep(2 * time.Hour)
		if got := call("messages/list-scheduled", `{"key":"k"}`); got != "[]\n" {
			t.Errorf("when its time has come: %s", got)
		}
	})
}
