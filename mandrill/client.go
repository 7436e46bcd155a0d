package mandrill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

const (
	// DefaultBaseURL is where the API is.
	DefaultBaseURL = "https://mandrillapp.com/api/1.0"

	// maxAnswer is how much of an answer is read. A send to 1,000 recipients has some 200 KB.
	maxAnswer = 4 << 20
	// maxIdle is how many unused connections are kept for later calls.
	maxIdle = 64
	// defaultTimeout ends a call whose context has no deadline.
	defaultTimeout = time.Minute
)

// A Client calls the API. It calls once: to try again is the caller's affair. The context's deadline
// bounds a call, answer included, and a minute where it has none. A Client may be used by several
// goroutines at once.
type Client struct {
	caller *mailchimp.Caller
	// key is a function so that nothing that prints a Client prints it.
	key func() string
}

// An Option changes a Client.
type Option func(*mailchimp.Settings)

// WithBaseURL says where the API is. Default: DefaultBaseURL.
func WithBaseURL(base string) Option {
	return func(s *mailchimp.Settings) { s.BaseURL = base }
}

// New returns a client that calls with the API key.
func New(key string, options ...Option) (*Client, error) {
	if err := mailchimp.CheckKey(key); err != nil {
		return nil, err
	}
	settings := mailchimp.Settings{
		BaseURL: DefaultBaseURL, ExampleURL: DefaultBaseURL, IdleConnections: maxIdle, MaxAnswer: maxAnswer,
	}
	for _, option := range options {
		option(&settings)
	}
	caller, err := mailchimp.NewCaller(settings)
	if err != nil {
		return nil, err
	}
	return &Client{caller: caller, key: func() string { return key }}, nil
}

// CloseIdleConnections gives up connections that no call uses.
func (c *Client) CloseIdleConnections() { c.caller.CloseIdleConnections() }

// Send sends the message and returns what Mandrill said of each recipient: a recipient may be
// refused though there is no error. Errors are *Error.
func (c *Client) Send(ctx context.Context, r *Request) ([]Recipient, error) {
	body, err := mailchimp.Encode(r.body)
	if err != nil {
		return nil, &Error{Kind: Refused, Err: err}
	}
	sendAt, _ := r.body["send_at"].(string)
	return c.send(ctx, r.endpoint, body, sendAt != "")
}

// SendStored is Send for a message that was stored.
func (c *Client) SendStored(ctx context.Context, s *Stored) ([]Recipient, error) {
	return c.send(ctx, s.endpoint, s.body, s.scheduled)
}

func (c *Client) send(ctx context.Context, endpoint string, body []byte, scheduled bool) ([]Recipient, error) {
	var recipients []Recipient
	if err := c.post(ctx, endpoint, body, &recipients); err != nil {
		var failure *Error
		if scheduled && errors.As(err, &failure) && failure.Name == "PaymentRequired" {
			// Scheduling is what isn't paid for: other messages can be sent.
			failure.Kind = Refused
		}
		return nil, err
	}
	if len(recipients) == 0 || slices.ContainsFunc(recipients, func(r Recipient) bool { return r.Status == "" }) {
		return nil, &Error{Kind: Unknown, Status: http.StatusOK, Err: mailchimp.ErrNonsense}
	}
	return recipients, nil
}

// Ping returns an error if the key is not valid.
func (c *Client) Ping(ctx context.Context) error {
	var pong struct{ PING string }
	if err := c.call(ctx, "users/ping2", struct{}{}, &pong); err != nil {
		return err
	}
	if pong.PING != "PONG!" {
		return &Error{Kind: Unknown, Status: http.StatusOK, Err: mailchimp.ErrNonsense}
	}
	return nil
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
	body, err := mailchimp.Encode(arguments)
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	return c.post(ctx, endpoint, body, answer)
}

// post puts the key into the body, a JSON object, and posts it once.
func (c *Client) post(ctx context.Context, endpoint string, body []byte, answer any) error {
	key, err := mailchimp.Encode(c.key())
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
	request, err := c.caller.NewRequest(ctx, http.MethodPost, endpoint, keyed)
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	got, err := c.caller.Do(request)
	switch {
	case err != nil:
		return connectionError(err)
	case got.Status != http.StatusOK:
		// The status says enough, even if the body broke off.
		return answerError(got)
	case got.BrokenOff != nil:
		return connectionError(got.BrokenOff)
	}
	return decodeAnswer(got.Body, answer)
}

// decodeAnswer reads the body of a 200, which may be an error all the same.
func decodeAnswer(data []byte, answer any) error {
	if !bytes.HasPrefix(data, []byte("[")) { // an array is no error
		if body := readErrorBody(data); body.Status == "error" {
			return body.sort(http.StatusOK)
		}
	}
	if json.Unmarshal(data, answer) != nil {
		return &Error{Kind: Unknown, Status: http.StatusOK, Err: mailchimp.ErrNonsense}
	}
	return nil
}
