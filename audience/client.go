package audience

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxConnections is how many calls a key may make at once; Mailchimp answers 429 to more.
	maxConnections = 10
	// maxAnswer is how much of an answer is read. A member has some 2 KB.
	maxAnswer = 1 << 20
)

// A Client calls the API. It makes each call once: to try again is the caller's affair. A Client may be used by
// several goroutines at once; no more than ten calls are under way at a time.
type Client struct {
	base string
	// key is a function so that nothing that prints a Client prints it.
	key   func() string
	http  *http.Client
	turns chan struct{}
}

// An Option changes a Client.
type Option func(*Client)

// WithBaseURL says where the API is. Default: the data centre that the key's end names.
func WithBaseURL(base string) Option {
	return func(c *Client) { c.base = base }
}

// dataCentre is the end of a key.
var dataCentre = regexp.MustCompile(`-([a-z]{2,8}[0-9]{1,4})$`)

// New returns a client that calls with the API key.
func New(key string, options ...Option) (*Client, error) {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("api_key: it is empty, or has a space, a line break or another character that no key has")
	}
	c := &Client{
		key:   func() string { return key },
		turns: make(chan struct{}, maxConnections),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: maxConnections,
				IdleConnTimeout:     90 * time.Second,
				TLSHandshakeTimeout: 10 * time.Second,
			},
			// A redirected call loses its body, or takes the key elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, option := range options {
		option(c)
	}
	if c.base == "" {
		end := dataCentre.FindStringSubmatch(key)
		if end == nil {
			return nil, errors.New("api_key: it must end with its data centre, such as -us21. It is a key of Mailchimp, not of Mandrill (Mailchimp Transactional)")
		}
		c.base = "https://" + end[1] + ".api.mailchimp.com/3.0"
	}
	base, err := url.Parse(c.base)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, errors.New("api_base: it must be a URL such as https://us21.api.mailchimp.com/3.0")
	}
	c.base = strings.TrimSuffix(c.base, "/") + "/"
	return c, nil
}

// CloseIdleConnections gives up connections that no call uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

var listID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckList tells whether a text can be an audience's id.
func CheckList(id string) error {
	if !listID.MatchString(id) {
		return fmt.Errorf("%q is no id of an audience such as a1b2c3d4e5, which stands in the audience's settings", id)
	}
	return nil
}

// List is an audience.
type List struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Stats count its members.
	Stats struct {
		// Subscribed is how many members get campaigns.
		Subscribed int `json:"member_count"`
	} `json:"stats"`
}

// List looks at an audience, and so at the key. Errors are *Error.
func (c *Client) List(ctx context.Context, id string) (List, error) {
	var list List
	err := c.call(ctx, http.MethodGet, "lists/"+id+"?fields=id,name,stats.member_count", nil, &list)
	if err == nil && list.ID == "" {
		err = &Error{Kind: Unknown, Status: http.StatusOK, Err: errNonsense}
	}
	return list, err
}

// call makes one call. Without an answer to decode, what a success says isn't read.
func (c *Client) call(ctx context.Context, method, path string, arguments, answer any) error {
	var body io.Reader
	if arguments != nil {
		encoded, err := encode(arguments)
		if err != nil {
			return &Error{Kind: Refused, Err: err}
		}
		body = bytes.NewReader(encoded)
	}
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return &Error{Kind: Retry, Err: errNoTurn}
	}
	var written atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	request, err := http.NewRequestWithContext(traced, method, c.base+path, body)
	if err != nil {
		return &Error{Kind: Refused, Err: errors.New("the call can't be made")}
	}
	request.SetBasicAuth("caddy", c.key())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "caddy-mailchimp-hook")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return connectionError(err, written.Load())
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent:
		// The status says enough where the body broke off.
		return answerError(response.StatusCode, response.Header, data)
	case err != nil:
		return connectionError(err, true)
	case answer != nil && json.Unmarshal(data, answer) != nil:
		return &Error{Kind: Unknown, Status: response.StatusCode, Err: errNonsense}
	}
	return nil
}

var errNoTurn = errors.New("ten other calls with this key took too long")

// encode is json.Marshal without the escaping of HTML.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
