package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func TestSend(t *testing.T) {
	many := make([]string, 11)
	for i := range many {
		many[i] = "ada@example.net"
	}
	for _, test := range []struct{ name, body, status, reason string }{
		{"sent", `{"message":{"text":"Hi","subject":"Hi",` + to("ada@example.net") + `}}`, "sent", ""},
		{"template", `{"template_name":"welcome","message":{` + to("ada@example.net") + `}}`, "sent", ""},
		{"async", `{"async":true,"message":{` + to("ada@example.net") + `}}`, "queued", ""},
		{"more than 10", `{"message":{` + to(many...) + `}}`, "queued", ""},
		{"reject@", `{"message":{` + to("reject@test.mandrillapp.com") + `}}`, "rejected", "custom"},
		{"bounces later", `{"message":{` + to("hard_bounce@test.mandrillapp.com") + `}}`, "sent", ""},
		{"unsigned", `{"message":{"from_email":"a@new.invalid",` + to("ada@example.net") + `}}`, "rejected", "unsigned"},
		{
			"every field",
			`{"async":false,"ip_pool":"Main","message":{"html":"<p>","text":"t","subject":"s","from_email":"a@example.com",` +
				`"from_name":"A","to":[{"email":"a@b.c","name":"A","type":"to"}],` +
				`"headers":{"Reply-To":"b@example.com"},"important":true,"track_opens":null,"track_clicks":null,"auto_text":null,` +
				`"auto_html":null,"inline_css":true,"url_strip_qs":null,"preserve_recipients":null,` +
				`"view_content_link":false,"bcc_address":"b@example.com","tracking_domain":null,"signing_domain":null,` +
				`"return_path_domain":null,"merge":true,"merge_language":"handlebars",` +
				`"global_merge_vars":[{"name":"a","content":"b"}],"merge_vars":[{"rcpt":"a@b.c","vars":[{"name":"a",` +
				`"content":"b"}]}],"tags":["x"],"subaccount":"s","google_analytics_domains":["example.com"],` +
				`"google_analytics_campaign":"c","metadata":{"a":"b"},"recipient_metadata":[{"rcpt":"a@b.c","values":{"a":1}}],` +
				`"attachments":[{"type":"text/plain","name":"a.txt","content":"aGk="}],` +
				`"images":[{"type":"image/png","name":"i","content":"aGk="}]}}`, "sent", "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c, _ := start(t)
			if _, err := c.AddSubaccount(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
			got, err := c.Send(t.Context(), request(t, test.body))
			if err != nil {
				t.Fatal(err)
			}
			for _, recipient := range got {
				if recipient.Status != test.status || recipient.RejectReason != test.reason {
					t.Errorf("got %+v", recipient)
				}
			}
			if mails := s.Mails(); len(mails) != 1 || strings.Contains(string(mails[0].Request), `"key"`) {
				t.Errorf("kept %+v", mails)
			}
		})
	}
}

func TestOtherEndpoints(t *testing.T) {
	_, c, _ := start(t)
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 0 {
		t.Errorf("domains %+v, %v", domains, err)
	}
	sent, err := c.Send(t.Context(),
		request(t, `{"message":{"subject":"Hello","metadata":{"entry":"e1"},`+
			to("ada@example.net", "hard_bounce@test.mandrillapp.com")+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 1 || domains[0].Domain != "example.com" {
		t.Errorf("domains %+v, %v", domains, err)
	}
	if domain, err := c.CheckDomain(t.Context(), "example.com"); err != nil || !domain.SPF.Valid || !domain.DKIM.Valid ||
		domain.VerifiedAt == "" {
		t.Errorf("domain %+v, %v", domain, err)
	}
	if domain, err := c.CheckDomain(t.Context(), "new.invalid"); err != nil || domain.SPF.Valid ||
		domain.SPF.Error == "" || domain.VerifiedAt != "" {
		t.Errorf("domain %+v, %v", domain, err)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 2 || domains[1].Domain != "new.invalid" {
		t.Errorf("after the checks: %+v, %v", domains, err)
	}
	for i, state := range []string{"sent", "bounced"} {
		if info, err := c.Info(t.Context(), sent[i].ID); err != nil || info.State != state || info.Metadata["entry"] != "e1" {
			t.Errorf("info %+v, %v", info, err)
		}
	}
	var unknown *mandrill.Error
	if _, err := c.Info(t.Context(), "none"); !errors.As(err, &unknown) || unknown.Name != "Unknown_Message" {
		t.Errorf("unknown id: %v", err)
	}
	for query, want := range map[string]int{"u_entry:e1": 2, "u_entry:e2": 0, "u_other:e1": 0, "ada": 1, "*": 2} {
		if found, err := c.Search(t.Context(), query, 10); err != nil || len(found) != want {
			t.Errorf("%s finds %d, %v", query, len(found), err)
		}
	}
}

// post posts to the API and returns the answer's status and fields.
func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&fields); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, fields
}

// TestLaterRejections: what is queued at once is rejected without the sender hearing of it.
func TestLaterRejections(t *testing.T) {
	_, c, _ := start(t)
	many := slices.Repeat([]string{"reject@test.mandrillapp.com"}, 11)
	for name, body := range map[string]string{
		"async":        `{"async":true,"message":{` + to("reject@test.mandrillapp.com") + `}}`,
		"more than 10": `{"message":{` + to(many...) + `}}`,
	} {
		got, err := c.Send(t.Context(), request(t, body))
		if err != nil || got[0].Status != "queued" || !got[0].Taken() || got[0].Held() {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if info, err := c.Info(t.Context(), got[0].ID); err != nil || info.State != "rejected" ||
			info.RejectReason != "custom" {
			t.Errorf("%s: then %+v, %v", name, info, err)
		}
	}
}

func TestContent(t *testing.T) {
	_, c, base := start(t)
	sent, err := c.Send(t.Context(),
		request(t, `{"message":{"subject":"Hi","html":"<b>Hi</b>","text":"Hi","headers":{"X-N":1},`+to("ada@example.net")+
			`,"attachments":[{"type":"text/plain","name":"a.txt","content":"aGk="}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	status, content := post(t, base+"/api/1.0/messages/content", `{"key":"k","id":"`+sent[0].ID+`"}`)
	if status != 200 || content["html"] != "<b>Hi</b>" || content["headers"].(map[string]any)["X-N"] != "1" {
		t.Errorf("%d %v", status, content)
	}
	for endpoint, name := range map[string]string{
		"messages/content": "Unknown_Message", "users/nothing": "Unknown_Method", "messages/send-template": "ValidationError",
		"messages/send-mc-template": "ValidationError",
	} {
		if status, answer := post(t, base+"/api/1.4/"+endpoint+".json", `{"key":"k","id":"none"}`); status < 400 ||
			answer["name"] != name {
			t.Errorf("%s: %d %v", endpoint, status, answer)
		}
	}
}

func TestLargestRequest(t *testing.T) {
	s := sandbox.New()
	body := strings.NewReader(`{"key":"k","message":{"text":"` + strings.Repeat("x", 25<<20))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/1.0/messages/send", body))
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "25 MiB") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestKeyIsNotKept(t *testing.T) {
	s, _, base := start(t)
	for _, name := range []string{"key", "Key", "KEY"} {
		answer, err := http.Post(base+"/other/api/1.0/messages/send", "application/json",
			strings.NewReader(`{"`+name+`":"s3cret","message":{"from_email":"a@example.com",`+to("ada@example.net")+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if len(s.Mails()) != 3 {
		t.Fatalf("%d mails", len(s.Mails()))
	}
	id := s.Mails()[0].ID
	for _, target := range []string{"/", "/mail/" + id, "/sandbox/messages", "/sandbox/messages/" + id} {
		if w := get(t, s, "GET", target, nil); w.Code != 200 || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func FuzzAPI(f *testing.F) {
	f.Add("messages/send", []byte(`{"key":"k","message":{"from_email":"@","to":[{"email":"a@b.c"}],"metadata":{"a":1}}}`))
	f.Add("messages/send-template", []byte(`{"key":"k","template_name":"w","template_content":[],"message":{"to":[{}]}}`))
	f.Add("messages/search", []byte(`{"key":"k","query":"u_a:1","limit":-1}`))
	f.Add("senders/check-domain", []byte(`{"key":"k","domain":"example.com"}`))
	f.Add("messages/search", []byte(
		`{"key":"k","query":"u_a:(1 OR \"b c\") AND (ada OR email:x:y)) :","date_to":"2026-01-01"}`))
	f.Add("messages/send", []byte(`{"key":"k","send_at":"2030-01-01 00:00:00","message":{"headers":[],"to":[{}]}}`))
	f.Add("subaccounts/add", []byte(`{"key":"k","id":"s","custom_quota":5}`))
	f.Add("webhooks/update", []byte(`{"key":"k","id":1,"url":"https://a.example","events":["send"]}`))
	f.Fuzz(func(t *testing.T, endpoint string, body []byte) {
		s := sandbox.New()
		for range 2 {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.URL.Path = "/api/1.0/" + endpoint
			s.ServeHTTP(httptest.NewRecorder(), r)
		}
		for _, mail := range s.Mails() {
			for _, target := range []string{"/", "/mail/" + mail.ID, "/sandbox/messages"} {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				if w.Code != 200 {
					t.Errorf("%s: %d", target, w.Code)
				}
			}
		}
	})
}

func TestKeys(t *testing.T) {
	_, _, base := start(t)
	for body, want := range map[string]string{
		`{}`:                    "422 ValidationError",
		`{"key":null}`:          "422 ValidationError",
		`{"key":""}`:            "401 Invalid_Key",
		`{"key":"invalid-key"}`: "401 Invalid_Key",
		`{"key":5}`:             "422 ValidationError",
		`[]`:                    "422 ValidationError",
		``:                      "422 ValidationError",
	} {
		status, answer := post(t, base+"/api/1.0/users/ping2.json", body)
		if got := fmt.Sprint(status, " ", answer["name"]); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}
