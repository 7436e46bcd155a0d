package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
)

// TestPageChanges has somebody unsubscribe by the page, and forgets all; pages of other sites can do nothing.
func TestPageChanges(t *testing.T) {
	w := start(t)
	w.apply("l1", `{"email_address":"ada@example.net","status_if_new":"subscribed"}`)
	id := w.Members()[0].ID
	press := func(path, form, origin string) int {
		r := httptest.NewRequest(http.MethodPost, "/3.0/sandbox/"+path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", origin)
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, r)
		if location := recorder.Header().Get("Location"); recorder.Code == http.StatusSeeOther && location != "../" {
			t.Errorf("%s leads to %q", path, location)
		}
		return recorder.Code
	}
	for _, step := range []struct {
		path, form, origin string
		want               int
		is                 string
	}{
		{"unsubscribe", "list=l1&id=" + id, "cross-site", 403, "subscribed"},
		{"forget", "", "cross-site", 403, "subscribed"},
		{"fail", `{"status":500}`, "cross-site", 403, "subscribed"},
		{"unsubscribe", "list=l1&id=nobody", "same-origin", 404, "subscribed"},
		{"unsubscribe", "list=l1&id=" + id, "same-origin", 303, "unsubscribed"},
		{"forget", "", "same-origin", 303, audience.Absent},
	} {
		if got := press(step.path, step.form, step.origin); got != step.want || w.is("ada@example.net") != step.is {
			t.Errorf("%s from %s: %d, the person is %s", step.path, step.origin, got, w.is("ada@example.net"))
		}
	}
}

func TestPageEscapes(t *testing.T) {
	w := start(t)
	w.apply("l1",
		`{"email_address":"ada@example.net","status_if_new":"subscribed","merge_fields":{"FNAME":"<script>x</script>"}}`)
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/3.0/", nil))
	if page := recorder.Body.String(); !strings.Contains(page, "ada@example.net") || strings.Contains(page, "<script") {
		t.Error(page)
	}
}
