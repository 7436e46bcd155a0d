package mailchimp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewCallerRefuses(t *testing.T) {
	for _, base := range []string{
		"", "mandrillapp.com/api/1.0", "ftp://mandrillapp.com", "https://", "https://user:s3cret@mandrillapp.com",
		"https://user@mandrillapp.com", "https://mandrillapp.com?a=b", "https://mandrillapp.com#a",
		"https://mandrillapp.com/ /\x00",
	} {
		_, err := NewCaller(Settings{BaseURL: base, ExampleURL: "https://example.com"})
		if err == nil || err.Error() != "api_base: it must be a URL such as https://example.com" {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, want := range map[string]bool{
		"md-0123": true, "": false, "s3cret\n": false, "s3cret key": false, "s3crét": false,
	} {
		err := CheckKey(key)
		if (err == nil) != want {
			t.Errorf("%q: %v", key, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr") {
			t.Errorf("the key is in %v", err)
		}
	}
}

// TestDo pins what goes over the wire, and what comes back of it.
func TestDo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTemporaryRedirect)
		fmt.Fprint(w, r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", string(body), strings.Repeat("x", 2<<10))
	}))
	defer server.Close()
	for body, want := range map[string]string{
		"":   "POST /3.0/send  ",
		"{}": "POST /3.0/send application/json {}",
	} {
		for _, base := range []string{server.URL + "/3.0", server.URL + "/3.0/"} {
			c := newCaller(t, base)
			var data []byte
			if body != "" {
				data = []byte(body)
			}
			request, err := c.NewRequest(t.Context(), http.MethodPost, "send", data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Do(request)
			if err != nil || got.BrokenOff != nil || got.Status != http.StatusTemporaryRedirect ||
				got.RetryAfter != 7*time.Second {
				t.Fatalf("got %+v, %v", got, err)
			}
			if !strings.HasPrefix(string(got.Body), want) || len(got.Body) != 1<<10 {
				t.Errorf("got %d bytes: %.40s", len(got.Body), got.Body)
			}
		}
	}
	if _, err := newCaller(t, server.URL).NewRequest(t.Context(), "s3cret ", "", nil); !errors.Is(err, errNotMade) {
		t.Errorf("a method that is none: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"7":                             7 * time.Second,
		"1.5":                           0,
		"soon":                          0,
		"99999999999":                   1 << 31 * time.Second,
		"99999999999999999999":          0,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute,
		"Wed, 02 Jan 2030 03:04:04 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
