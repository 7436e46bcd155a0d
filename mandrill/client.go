package mandrill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// DefaultBaseURL is where the API is.
	DefaultBaseURL = "https://mandrillapp.com/api/1.0"

	// maxAnswer is how much of an answer is read. A send to 1,000 recipients has some 200 KB.
	maxAnswer = 4 << 20
	// defaultTimeout ends a call whose context has no deadline.
	defaultTimeout = time.Minute
)

// A Client calls the API. It calls once: to try again is the caller's affair. The context's deadline
// bounds a call, answer included, and a minute where it has none. A Client may be used by several
// goroutines at once.
type Client struct {
	base string
	// key is a function so that nothing that prints a Client prints it.
	key  func() string
	http *http.Client
}

// An Option changes a Client.
type Option func(*Client)

// WithBaseURL says where the API is. Default: DefaultBaseURL.
func WithBaseURL(base string) Option {
	return func(c *Client) { c.base = base }
}

// New returns a client that calls with the API key.
func New(key string, options ...Option) (*Client, error) {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("api_key: it is empty, or has a space, a line break or another character that no key has")
	}
	c := &Client{
		base: DefaultBaseURL,
		key:  func() string { return key },
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: 64,
				IdleConnTimeout:     90 * time.Second,
				TLSHandshakeTimeout: 10 * time.Second,
				// Most mails go out in one write: the default of 4 KB makes two of them.
				WriteBufferSize: 16 << 10,
			},
			// A redirected POST loses its body, or takes the key elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, option := range options {
		option(c)
	}
	base, err := url.Parse(c.base)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, errors.New("api_base: it must be a URL such as " + DefaultBaseURL)
	}
	c.base = strings.TrimSuffix(c.base, "/") + "/"
	return c, nil
}

// CloseIdleConnections gives up connections that no call uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Send sends the message and returns what Mandrill said of each recipient: a recipient may be
// refused though there is no error. Errors are *Error.
func (c *Client) Send(ctx context.Context, r *Request) ([]Recipient, error) {
	body, err := encode(r.body)
	if err != nil {
		return nil, &Error{Kind: Refused, Err: err}
	}
	var recipients []Recipient
	if err := c.post(ctx, r.endpoint(), body, &recipients); err != nil {
		var failure *Error
		if sendAt, _ := r.body["send_at"].(string); sendAt != "" && errors.As(err, &failure) && failure.Name == "PaymentRequired" {
			// Scheduling is what isn't paid for: other messages can be sent.
			failure.Kind = Refused
		}
		return nil, err
	}
	if len(recipients) == 0 || slices.ContainsFunc(recipients, func(r Recipient) bool { return r.Status == "" }) {
		return nil, &Error{Kind: Unknown, Status: http.StatusOK, Err: errNonsense}
	}
	return recipients, nil
}

// Ping tells whether the key is valid, by the lack of an error.
func (c *Client) Ping(ctx context.Context) error {
	var pong struct{ PING string }
	if err := c.call(ctx, "users/ping2", struct{}{}, &pong); err != nil {
		return err
	}
	if pong.PING != "PONG!" {
		return &Error{Kind: Unknown, Status: http.StatusOK, Err: errNonsense}
	}
	return nil
}

// Domains returns the sender domains of the account.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	var domains []Domain
	return domains, c.call(ctx, "senders/domains", struct{}{}, &domains)
}

// CheckDomain returns the state of a sender domain. It adds the domain to the account if it isn't there.
func (c *Client) CheckDomain(ctx context.Context, domain string) (Domain, error) {
	var checked Domain
	return checked, c.call(ctx, "senders/check-domain", map[string]string{"domain": domain}, &checked)
}

// Info returns what became of a message for one recipient, by the id that Send returned. An id that
// isn't known is an *Error with the name Unknown_Message.
func (c *Client) Info(ctx context.Context, id string) (Info, error) {
	var info Info
	return info, c.call(ctx, "messages/info", map[string]string{"id": id}, &info)
}

// Search returns messages of the last days that match a query such as u_field:value for a metadata
// field that the account has made searchable. The search lags behind the sending.
func (c *Client) Search(ctx context.Context, query string, limit int) ([]Info, error) {
	var found []Info
	return found, c.call(ctx, "messages/search", map[string]any{"query": query, "limit": limit}, &found)
}

func (c *Client) call(ctx context.Context, endpoint string, arguments, answer any) error {
	body, err := encode(arguments)
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	return c.post(ctx, endpoint, body, answer)
}

// post puts the key into the body, a JSON object, and posts it once.
func (c *Client) post(ctx context.Context, endpoint string, body []byte, answer any) error {
	key, err := encode(c.key())
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	keyed := append([]byte(`{"key":`), key...)
	if len(body) > len(`{}`) {
		keyed = append(keyed, ',')
	}
	keyed = append(keyed, body[1:]...)

	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	// Once its headers are on the way, Mandrill may have taken a message whatever is heard of it. The
	// transport asks for another connection only where nothing of the request went over the first one.
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+endpoint, bytes.NewReader(keyed))
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "caddy-mailchimp-hook")
	response, err := c.http.Do(request)
	if err != nil {
		return connectionError(err, written.Load())
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode != http.StatusOK {
		// The status says enough where the body broke off.
		return answerError(response.StatusCode, response.Header, data)
	}
	if err != nil {
		return connectionError(err, true)
	}
	return decodeAnswer(data, answer)
}

// decodeAnswer reads the body of a 200, which may be an error all the same.
func decodeAnswer(data []byte, answer any) error {
	if !bytes.HasPrefix(data, []byte("[")) { // an array is no error
		if body := readErrorBody(data); body.Status == "error" {
			return body.sort(http.StatusOK)
		}
	}
	if json.Unmarshal(data, answer) != nil {
		return &Error{Kind: Unknown, Status: http.StatusOK, Err: errNonsense}
	}
	return nil
}
