package mailchimp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Settings are what the two APIs want to be different in a Caller.
type Settings struct {
	// BaseURL is where the API is.
	BaseURL string
	// ExampleURL is shown to operators whose BaseURL is not a URL.
	ExampleURL string
	// IdleConnections is how many unused connections are kept for later calls.
	IdleConnections int
	// MaxAnswer is how many bytes of an answer are read.
	MaxAnswer int64
}

// A Caller makes HTTP calls to one API. It makes each call once and follows no redirect. Several goroutines may use
// it at once.
type Caller struct {
	base      string
	http      *http.Client
	maxAnswer int64
}

// NewCaller returns a Caller. Its error names the option api_base, and repeats nothing of the URL, which may have a
// password.
func NewCaller(s Settings) (*Caller, error) {
	base, err := url.Parse(s.BaseURL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" ||
		base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, errors.New("api_base: it must be a URL such as " + s.ExampleURL)
	}
	return &Caller{
		base:      strings.TrimSuffix(s.BaseURL, "/") + "/",
		maxAnswer: s.MaxAnswer,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: s.IdleConnections,
				IdleConnTimeout:     90 * time.Second,
				TLSHandshakeTimeout: 10 * time.Second,
				// Most mails fit into one write of this size. The default of 4 KB would need several.
				WriteBufferSize: 16 << 10,
			},
			// A redirected call would lose its body, or carry the key to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// CheckKey reports whether a text can be an API key. Its error names the option api_key, and doesn't repeat the key.
func CheckKey(key string) error {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("api_key: it is empty, or has a space, a line break or another character that no key has")
	}
	return nil
}

// CloseIdleConnections closes the connections that no call uses.
func (c *Caller) CloseIdleConnections() { c.http.CloseIdleConnections() }

// NewRequest returns a request for a path below the API's base. The body is JSON, or nil.
func (c *Caller) NewRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, errNotMade // the cause quotes the URL
	}
	request.Header.Set("User-Agent", "caddy-mailchimp-hook")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

var errNotMade = errors.New("the call can't be made")

// Answer is what an API answers to a call.
type Answer struct {
	Status int
	// RetryAfter is how long the API asks callers to wait, or 0.
	RetryAfter time.Duration
	Body       []byte
	// BrokenOff is why Body is incomplete, or nil.
	BrokenOff *ConnectionError
}

// Do makes a call. It fails with a *ConnectionError if there is no answer.
func (c *Caller) Do(request *http.Request) (*Answer, error) {
	// Once the headers are on the way, the API may have acted on the call, whatever happens next. The transport
	// asks for another connection only if nothing of the request went over the first one.
	var written atomic.Bool
	traced := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GetConn:      func(string) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	response, err := c.http.Do(request.WithContext(traced))
	if err != nil {
		return nil, newConnectionError(err, written.Load())
	}
	defer response.Body.Close()
	answer := &Answer{
		Status:     response.StatusCode,
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
	if answer.Body, err = io.ReadAll(io.LimitReader(response.Body, c.maxAnswer)); err != nil {
		answer.BrokenOff = newConnectionError(err, true)
	}
	return answer, nil
}

// retryAfter reads a header's seconds or date. It returns 0 for anything else, and for what is over.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<31)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil && date.After(now) {
		return date.Sub(now)
	}
	return 0
}
