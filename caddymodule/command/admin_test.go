package command

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdminErrors reads what admin endpoints answer that have this plugin, that do not, and that are none.
func TestAdminErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"an error of the plugin", 409, `{"error":"entry 1 is sent"}` + "\n", "entry 1 is sent"},
		{"an error of Caddy", 403, `{"error":"host not allowed: x"}`, "host not allowed: x"},
		{"no plugin", 404, "", "the running Caddy doesn't have this plugin, or not this version of it"},
		{"no Caddy", 502, "<h1>", "asking the running Caddy: caddy responded with error: HTTP 502: <h1>"},
		{
			"JSON of somebody else", 500, `{"fault":1}`,
			`asking the running Caddy: caddy responded with error: HTTP 500: {"fault":1}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			o := adminFlags{address: strings.TrimPrefix(server.URL, "http://")}
			if err := o.call(http.MethodGet, "status", nil, nil); err == nil || err.Error() != test.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAdminAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:1":          "asking the running Caddy: performing request: ",
		"127.0.0.1:2019-2020":  "asking the running Caddy: invalid admin address 127.0.0.1:2019-2020",
		"unix//nowhere/a.sock": "asking the running Caddy: performing request: ",
	} {
		o := adminFlags{address: address}
		if err := o.call(http.MethodGet, "status", nil, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestAdminSocket asks a Caddy whose admin endpoint is a Unix socket.
func TestAdminSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Host != "127.0.0.1" {
			t.Errorf("Caddy refuses the origin %q and the host %q", r.Header.Get("Origin"), r.Host)
		}
		fmt.Fprint(w, `{"forgotten":3}`)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	for _, address := range []string{"unix/" + socket, "unix/" + socket + "|0220"} {
		o := adminFlags{address: address}
		var answer struct{ Forgotten int }
		if err := o.call(http.MethodPost, "outbox/forget", nil, &answer); err != nil || answer.Forgotten != 3 {
			t.Errorf("%s: %+v, %v", address, answer, err)
		}
	}
}
