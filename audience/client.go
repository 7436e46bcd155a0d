package audience

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

const (
	// maxConnections is how many calls a key may make at once; Mailchimp answers 429 to more.
	maxConnections = 10
	// maxAnswer is how much of an answer is read. A member has some 2 KB.
	maxAnswer = 1 << 20
	// exampleURL is the base URL of an account.
	exampleURL = "https://us21.api.mailchimp.com/3.0"
)

// A Client calls the API. It makes each call once: to try again is the caller's affair. A Client may be used by
// several goroutines at once; no more than ten calls are under way at a time.
type Client struct {
	caller *mailchimp.Caller
	// key is a function so that nothing that prints a Client prints it.
	key   func() string
	turns chan struct{}
}

// An Option changes a Client.
type Option func(*mailchimp.Settings)

// WithBaseURL says where the API is. Default: the data centre that the key's end names.
func WithBaseURL(base string) Option {
	return func(s *mailchimp.Settings) { s.BaseURL = base }
}

// dataCentre is the end of a key.
var dataCentre = regexp.MustCompile(`-([a-z]{2,8}[0-9]{1,4})$`)

// New returns a client that calls with the API key.
func New(key string, options ...Option) (*Client, error) {
	if err := mailchimp.CheckKey(key); err != nil {
		return nil, err
	}
	settings := mailchimp.Settings{ExampleURL: exampleURL, IdleConnections: maxConnections, MaxAnswer: maxAnswer}
	for _, option := range options {
		option(&settings)
	}
	if settings.BaseURL == "" {
		end := dataCentre.FindStringSubmatch(key)
		if end == nil {
			return nil, errors.New("api_key: it must end with its data centre, such as -us21. " +
				"It is a key of Mailchimp, not of Mandrill (Mailchimp Transactional)")
		}
		settings.BaseURL = "https://" + end[1] + ".api.mailchimp.com/3.0"
	}
	caller, err := mailchimp.NewCaller(settings)
	if err != nil {
		return nil, err
	}
	return &Client{
		caller: caller,
		key:    func() string { return key },
		turns:  make(chan struct{}, maxConnections),
	}, nil
}

// CloseIdleConnections gives up connections that no call uses.
func (c *Client) CloseIdleConnections() { c.caller.CloseIdleConnections() }

var listID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckList reports whether a text can be an audience's id.
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
		err = &Error{Kind: Unknown, Status: http.StatusOK, Err: mailchimp.ErrNonsense}
	}
	return list, err
}

// call makes one call. Without an answer to decode, what a success says isn't read.
func (c *Client) call(ctx context.Context, method, path string, arguments, answer any) error {
	var body []byte
	if arguments != nil {
		var err error
		if body, err = mailchimp.Encode(arguments); err != nil {
			return &Error{Kind: Refused, Err: err}
		}
	}
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return &Error{Kind: Retry, Err: errNoTurn}
	}
	request, err := c.caller.NewRequest(ctx, method, path, body)
	if err != nil {
		return &Error{Kind: Refused, Err: err}
	}
	request.SetBasicAuth("caddy", c.key())
	request.Header.Set("Accept", "application/json")
	got, err := c.caller.Do(request)
	switch {
	case err != nil:
		return connectionError(err)
	case got.Status != http.StatusOK && got.Status != http.StatusNoContent:
		// The status says enough, even if the body broke off.
		return answerError(got)
	case got.BrokenOff != nil:
		return connectionError(got.BrokenOff)
	case answer != nil && json.Unmarshal(got.Body, answer) != nil:
		return &Error{Kind: Unknown, Status: got.Status, Err: mailchimp.ErrNonsense}
	}
	return nil
}

var errNoTurn = errors.New("ten other calls with this key took too long")
