package audience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
)

// client returns one whose calls a handler answers.
func client(t *testing.T, handler http.HandlerFunc) *audience.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := audience.New("s3cret-us21", audience.WithBaseURL(server.URL+"/3.0/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestNew(t *testing.T) {
	for _, test := range []struct{ key, base, want string }{
		{"0123456789abcdef-us21", "", ""},
		{"local", "http://localhost:8025/3.0", ""},
		{"md-0123456789", "", "data centre"},
		{"0123456789abcdef", "", "data centre"},
		{"key-us1.evil.example", "", "data centre"},
		{"a b-us1", "", "is empty, or has a space"},
		{"key-us1", "ftp://example.com", "such as https://us21.api.mailchimp.com/3.0"},
	} {
		_, err := audience.New(test.key, audience.WithBaseURL(test.base))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q, %q: %v", test.key, test.base, err)
		}
		if err != nil && len(test.key) > 8 && strings.Contains(err.Error(), test.key) {
			t.Errorf("the key is in %v", err)
		}
	}
}

func TestCheckList(t *testing.T) {
	for id, want := range map[string]bool{"a1b2c3d4e5": true, "": false, "a/b": false, "a b": false, "..": false} {
		if got := audience.CheckList(id) == nil; got != want {
			t.Errorf("%q: %t", id, got)
		}
	}
}

// TestRequests pins what goes over the wire.
func TestRequests(t *testing.T) {
	// These are the MD5 sums of émile@example.net and ada@example.net.
	const (
		emile = "/3.0/lists/l1/members/2d4bd420bba09938d95f5371a452f1da"
		ada   = "/3.0/lists/l1/members/ae2c0afa556b74f2d501305b54c34910"
	)
	var calls []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if user, key, _ := r.BasicAuth(); user == "" || key != "s3cret-us21" {
			t.Errorf("the key is missing")
		}
		calls = append(calls, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		fmt.Fprint(w, `{"id":"m1","status":"subscribed"}`)
	})
	members, err := c.Apply(t.Context(), "l1",
		parse(t, `{"email_address":"Émile@Example.net","status_if_new":"subscribed","merge_fields":{"FNAME":"<É>"},`+
			`"language":"fr","tags":["x"],"archive":"ada@example.net"}`), time.Minute)
	if err != nil || len(members) != 2 || members[0].Email != "Émile@Example.net" || members[0].Status != "subscribed" ||
		members[1].Status != "archived" {
		t.Fatalf("got %+v, %v", members, err)
	}
	for i, want := range []string{
		"GET " + ada + "?fields=status ",
		"PUT " + emile +
			`?skip_merge_validation=true {"email_address":"Émile@Example.net","language":"fr","merge_fields":{"FNAME":"<É>"},` +
			`"status_if_new":"subscribed"}`,
		"POST " + emile + `/tags {"tags":[{"name":"x","status":"active"}]}`,
		"DELETE " + ada + " ",
	} {
		if i >= len(calls) || calls[i] != want {
			t.Errorf("call %d is %q", i, calls)
			break
		}
	}
}

// TestVanished has an address be taken out by others in the midst of a change, which is to be made again.
func TestVanished(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"title":"Resource Not Found","status":404}`)
			return
		}
		fmt.Fprint(w, `{"id":"l1","status":"subscribed"}`)
	})
	_, err := c.Apply(t.Context(), "l1",
		parse(t, `{"email_address":"ada@example.net","status_if_new":"subscribed","tags":["x"]}`), time.Minute)
	var failure *audience.Error
	if !errors.As(err, &failure) || failure.Kind != audience.Retry || failure.Remedy() != "" ||
		!strings.Contains(err.Error(), "isn't in the audience") {
		t.Errorf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	problem := func(status int, title, detail string) string {
		return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":%q,"instance":"x",`+
			`"errors":[{"field":"FNAME","message":"ada@example.net"},{"field":"ada@example.net","message":""}]}`,
			title, status, detail)
	}
	for _, test := range []struct {
		name   string
		status int
		body   string
		kind   audience.Kind
		remedy string
	}{
		{
			"compliance", 400, problem(400, "Member In Compliance State", "ada@example.net is"), audience.Rejected,
			"only the person",
		},
		{
			"forgotten", 400, problem(400, "Forgotten Email Not Subscribed", "ada@example.net was"), audience.Rejected,
			"only the person",
		},
		{"exists", 400, problem(400, "Member Exists", "ada@example.net is"), audience.Rejected, ""},
		{
			"fake", 400,
			problem(400, "Invalid Resource", "ada@example.net looks fake or invalid, please enter a real email address."),
			audience.Rejected, "a fake or a misuse",
		},
		{
			"field", 400, problem(400, "Invalid Resource", "Your merge fields were invalid."), audience.Refused,
			"compare",
		},
		{
			"busy", 400, problem(400, "Invalid Resource", "ada@example.net has signed up to a lot of lists very recently"),
			audience.Retry, "",
		},
		{
			"address", 400, `{"title":"Invalid Resource","errors":[{"field":"email_address","message":"ada@example.net"}]}`,
			audience.Refused, "does not take the address",
		},
		{"key", 401, problem(401, "API Key Invalid", ""), audience.Account, "check api_key"},
		{"forbidden", 403, problem(403, "User Disabled", ""), audience.Account, ""},
		{"throttled without JSON", 403, "<h1>Forbidden</h1>", audience.Account, ""},
		{"throttled", 429, problem(429, "Too Many Requests", ""), audience.Account, ""},
		{"list", 404, problem(404, "Resource Not Found", ""), audience.Account, "check list"},
		{"elsewhere", 404, "not here", audience.Retry, "check api_base"},
		{"server", 500, problem(500, "Internal Server Error", ""), audience.Retry, ""},
		{"unavailable", 503, "", audience.Retry, ""},
		{"gateway", 504, "", audience.Unknown, ""},
		{"redirect", 302, "", audience.Retry, ""},
		{"nonsense", 200, "<html>", audience.Unknown, ""},
		{"no member", 200, "{}", audience.Unknown, ""},
		{"title of somebody's", 400, problem(400, "ada@example.net", ""), audience.Retry, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			_, err := c.Apply(t.Context(), "l1", parse(t, `{"email_address":"ada@example.net","status_if_new":"subscribed"}`),
				time.Minute)
			var failure *audience.Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			if failure.Kind != test.kind ||
				!strings.Contains(failure.Remedy(), test.remedy) || test.remedy == "" && failure.Remedy() != "" {
				t.Errorf("got %+v: %s", failure, failure.Remedy())
			}
			for _, secret := range []string{"ada", "s3cret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s is in %v", secret, err)
				}
			}
		})
	}
}

func TestBrokenConnections(t *testing.T) {
	change := parse(t, `{"email_address":"ada@example.net"}`)
	kind := func(ctx context.Context, c *audience.Client) audience.Kind {
		_, err := c.Apply(ctx, "l1", change, time.Minute)
		var failure *audience.Error
		if !errors.As(err, &failure) {
			t.Fatalf("got %v", err)
		}
		for _, secret := range []string{"ada", "s3cret", "members/"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s is in %v", secret, err)
			}
		}
		return failure.Kind
	}
	closing := client(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if got := kind(t.Context(), closing); got != audience.Unknown {
		t.Errorf("closed after the request: %s", got)
	}
	nobody, err := audience.New("s3cret-us21", audience.WithBaseURL("http://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := kind(t.Context(), nobody); got != audience.Retry {
		t.Errorf("nobody listens: %s", got)
	}
	hanging := client(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := kind(ctx, hanging); got != audience.Unknown {
		t.Errorf("no answer: %s", got)
	}
	var failure *audience.Error
	if _, err := hanging.Apply(t.Context(), "l1", change, 50*time.Millisecond); !errors.As(err, &failure) ||
		failure.Kind != audience.Unknown {
		t.Errorf("no answer to one call: %v", err)
	}
}

// TestTenAtOnce: a key makes no more than ten calls at a time, and the others wait for their turn.
func TestTenAtOnce(t *testing.T) {
	var now, most atomic.Int32
	var once sync.Once
	full := make(chan struct{})
	change := parse(t, `{"email_address":"ada@example.net"}`)
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 10 {
			once.Do(func() { close(full) })
		}
		<-full
		fmt.Fprint(w, `{"status":"subscribed"}`)
	})
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if _, err := c.Apply(t.Context(), "l1", change, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	for range 20 {
		calls.Go(func() {
			if _, err := c.Apply(t.Context(), "l1", change, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if most.Load() != 10 {
		t.Errorf("%d calls at once", most.Load())
	}
}

// TestFieldsOfErrors names what Mailchimp finds wrong by its path, and nothing that a person may have typed.
func TestFieldsOfErrors(t *testing.T) {
	for field, shown := range map[string]bool{
		"FNAME": true, "merge_fields.BILLING": true, "interests.3c5d6f": true, "merge_fields.ADDRESS.addr1": true,
		"email_address": true, "ada@example.net": false, "password.hunter2": false, "interests.ada@example.net": false,
	} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"title":"Invalid Resource","errors":[{"field":%q,"message":"x"}]}`, field)
		})
		_, err := c.Apply(t.Context(), "l1", parse(t, `{"email_address":"ada@example.net","status_if_new":"subscribed"}`),
			time.Minute)
		if err == nil || strings.Contains(err.Error(), field) != shown {
			t.Errorf("%s: %v", field, err)
		}
	}
}
