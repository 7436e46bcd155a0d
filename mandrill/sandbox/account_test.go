package sandbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

func refusedAs(t *testing.T, err error, name string) {
	t.Helper()
	var refused *mandrill.Error
	if !errors.As(err, &refused) || refused.Name != name || refused.Detail == "" {
		t.Errorf("got %v, want %s", err, name)
	}
}

func TestMetadataFields(t *testing.T) {
	_, c, base := start(t)
	if fields, err := c.MetadataFields(t.Context()); err != nil || len(fields) != 0 {
		t.Errorf("at first: %v, %v", fields, err)
	}
	for i := range 10 {
		name := fmt.Sprint("field", i)
		if field, err := c.AddMetadataField(t.Context(), name); err != nil || field.Name != name || field.State != "active" {
			t.Errorf("adding %s: %+v, %v", name, field, err)
		}
	}
	for _, name := range []string{"field1", "eleventh", ""} {
		_, err := c.AddMetadataField(t.Context(), name)
		refusedAs(t, err, "ValidationError")
	}
	status, answer := post(t, base+"/api/1.0/metadata/update", `{"key":"k","name":"field1","view_template":"{{value}}"}`)
	if status != 200 || answer["view_template"] != "{{value}}" {
		t.Errorf("updating: %d %v", status, answer)
	}
	status, answer = post(t, base+"/api/1.0/metadata/delete", `{"key":"k","name":"field1"}`)
	if status != 200 || answer["state"] != "delete" {
		t.Errorf("deleting: %d %v", status, answer)
	}
	for _, call := range []string{"update", "delete"} {
		status, answer := post(t, base+"/api/1.0/metadata/"+call, `{"key":"k","name":"field1","view_template":""}`)
		if status != 404 || answer["name"] != "Unknown_MetadataField" {
			t.Errorf("%s: %d %v", call, status, answer)
		}
	}
	if fields, err := c.MetadataFields(t.Context()); err != nil || len(fields) != 9 {
		t.Errorf("at last: %v, %v", fields, err)
	}
}

func TestWebhooks(t *testing.T) {
	_, c, base := start(t)
	added, err := c.AddWebhook(t.Context(), "https://hooks.example.com/mandrill", "Caddy", []string{"send", "open"})
	if err != nil || added.AuthKey == "" || added.ID == 0 {
		t.Fatalf("%+v, %v", added, err)
	}
	added.Events = []string{"send", "open", "spam"}
	if updated, err := c.UpdateWebhook(t.Context(), added); err != nil || len(updated.Events) != 3 ||
		updated.AuthKey != added.AuthKey {
		t.Errorf("updated %+v, %v", updated, err)
	}
	hooks, err := c.Webhooks(t.Context())
	if err != nil || len(hooks) != 1 || !slices.Equal(hooks[0].Events, added.Events) ||
		hooks[0].URL != "https://hooks.example.com/mandrill" || hooks[0].Description != "Caddy" {
		t.Errorf("%+v, %v", hooks, err)
	}
	_, err = c.AddWebhook(t.Context(), "hooks.example.com", "", nil)
	refusedAs(t, err, "ValidationError")
	_, err = c.UpdateWebhook(t.Context(), mandrill.Webhook{ID: 7, URL: added.URL})
	refusedAs(t, err, "Unknown_Webhook")
	id := fmt.Sprintf(`{"key":"k","id":%d}`, added.ID)
	for _, call := range []string{"info", "delete"} {
		if status, answer := post(t, base+"/api/1.0/webhooks/"+call, id); status != 200 || answer["url"] != added.URL {
			t.Errorf("%s: %d %v", call, status, answer)
		}
	}
	if hooks, err := c.Webhooks(t.Context()); err != nil || len(hooks) != 0 {
		t.Errorf("at last: %+v, %v", hooks, err)
	}
}

func TestSubaccounts(t *testing.T) {
	s, c, base := start(t)
	mail := request(t, `{"message":{"subaccount":"shop",`+to("ada@example.net")+`}}`)
	// Until one is added, a message may name any.
	if _, err := c.Send(t.Context(), mail); err != nil {
		t.Fatal(err)
	}
	if added, err := c.AddSubaccount(t.Context(), "shop"); err != nil || added.ID != "shop" || added.Status != "active" {
		t.Errorf("%+v, %v", added, err)
	}
	_, err := c.AddSubaccount(t.Context(), "shop")
	refusedAs(t, err, "ValidationError")
	call := func(name, body string) map[string]any {
		t.Helper()
		status, answer := post(t, base+"/api/1.0/subaccounts/"+name, `{"key":"k","id":"shop"`+body+`}`)
		if status != 200 {
			t.Errorf("%s: %d %v", name, status, answer)
		}
		return answer
	}
	if paused := call("pause", ""); paused["status"] != "paused" {
		t.Errorf("%v", paused)
	}
	queued, err := c.Send(t.Context(), mail)
	if err != nil || queued[0].Status != "queued" || queued[0].QueuedReason != "sending-paused" {
		t.Fatalf("while it is paused: %+v, %v", queued, err)
	}
	others, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`))
	if err != nil || others[0].Status != "sent" {
		t.Errorf("of the account: %+v, %v", others, err)
	}
	if s.Recover(); state(t, c, queued[0].ID) != "queued" {
		t.Error("the account's recovery ends the pause")
	}
	call("resume", "")
	if state(t, c, queued[0].ID) != "sent" {
		t.Error("the pause's end sends nothing")
	}
	call("update", `,"name":"Shop","custom_quota":50`)
	if info := call("info", ""); info["hourly_quota"] != 50.0 || info["sent_total"] != 2.0 || info["name"] != "Shop" {
		t.Errorf("%v", info)
	}
	for prefix, want := range map[string]int{"": 1, "sh": 1, "Sho": 1, "x": 0} {
		if found, err := c.Subaccounts(t.Context(), prefix); err != nil || len(found) != want {
			t.Errorf("%q: %+v, %v", prefix, found, err)
		}
	}
	call("delete", "")
	_, err = c.Send(t.Context(), mail)
	refusedAs(t, err, "Unknown_Subaccount")
}

func state(t *testing.T, c *mandrill.Client, id string) string {
	t.Helper()
	info, err := c.Info(t.Context(), id)
	if err != nil {
		t.Error(err)
	}
	return info.State
}

func TestSenders(t *testing.T) {
	_, c, base := start(t)
	if domain, err := c.CheckDomain(t.Context(), "new.invalid"); err != nil || domain.ValidSigning ||
		domain.DKIM2.Valid || domain.DMARC.Error == "" {
		t.Errorf("%+v, %v", domain, err)
	}
	if domain, err := c.CheckDomain(t.Context(), "example.com"); err != nil || !domain.ValidSigning ||
		!domain.DKIM.Valid || !domain.DKIM2.Valid || !domain.DMARC.Valid {
		t.Errorf("%+v, %v", domain, err)
	}
	for domain, want := range map[string]string{"example.com": "already_verified", "other.invalid": "sent"} {
		status, answer := post(t, base+"/api/1.0/senders/verify-domain",
			`{"key":"k","mailbox":"me","domain":"`+domain+`"}`)
		if status != 200 || answer["status"] != want || answer["email"] != "me@"+domain {
			t.Errorf("%s: %d %v", domain, status, answer)
		}
	}
	if status, _ := post(t, base+"/api/1.0/senders/add-domain", `{"key":"k","domain":"third.example"}`); status != 200 {
		t.Errorf("adding: %d", status)
	}
	if domains, err := c.Domains(t.Context()); err != nil || len(domains) != 4 {
		t.Errorf("%+v, %v", domains, err)
	}
	if _, err := c.Send(t.Context(),
		request(t, `{"message":{`+to("ada@example.net", "reject@test.mandrillapp.com")+`}}`)); err != nil {
		t.Fatal(err)
	}
	if list := raw(t, base+"/api/1.0/senders/list", `{"key":"k"}`); !strings.Contains(list, `"rejects":1`) ||
		!strings.Contains(list, `"sent":1`) || !strings.Contains(list, `"address":"hello@example.com"`) {
		t.Errorf("senders: %s", list)
	}
}

func TestUsers(t *testing.T) {
	_, c, base := start(t)
	if pong := raw(t, base+"/api/1.0/users/ping", `{"key":"k"}`); pong != "\"PONG!\"\n" {
		t.Errorf("ping: %s", pong)
	}
	if _, err := c.Send(t.Context(), request(t, `{"message":{`+to("ada@example.net")+`}}`)); err != nil {
		t.Fatal(err)
	}
	status, info := post(t, base+"/api/1.0/users/info", `{"key":"k"}`)
	if status != 200 || info["reputation"] != 100.0 || info["backlog"] != 0.0 {
		t.Errorf("info: %d %v", status, info)
	}
}
