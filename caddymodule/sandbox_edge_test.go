package caddymodule_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/internal/edgetest"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

// TestSandboxHandler sends to a sandbox that Caddy runs, whose mails outlive a reload.
func TestSandboxHandler(t *testing.T) {
	e := edgetest.New(t, edgetest.Minimal, "")
	sandboxSite := func(lines string) string {
		return strings.Replace(e.Caddyfile("delivery sync"), "\tmetrics /metrics\n",
			"\thandle_path /sandboxed/* {\n\t\tmandrill_sandbox {\n"+lines+"\n}\n\t}\n", 1)
	}
	e.Base = "http://" + e.Address + "/sandboxed/api/1.0"
	if err := e.Load(sandboxSite("")); err != nil {
		t.Fatal(err)
	}
	e.Post(edgetest.Ada)
	if err := e.Load(sandboxSite("allow_remote")); err != nil {
		t.Fatal(err)
	}
	get := func(host string) edgetest.Answer {
		r := httptest.NewRequestWithContext(context.Background(), "GET", "http://"+e.Address+"/sandboxed/sandbox/messages",
			nil)
		r.RequestURI = ""
		r.Host = host
		got, err := e.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	var mails []sandbox.Mail
	if err := json.Unmarshal([]byte(get(e.Address).Body), &mails); err != nil || len(mails) != 1 {
		t.Errorf("%d mails, %v", len(mails), err)
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+e.Address+"/sandboxed/3.0/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := e.Do(r); err != nil || !strings.Contains(page.Body, "Nobody is in an audience yet") {
		t.Errorf("the page of members: %+v, %v", page, err)
	}
}
