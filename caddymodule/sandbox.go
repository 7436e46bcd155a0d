package caddymodule

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	members "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience/sandbox"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/sandbox"
)

func init() {
	caddy.RegisterModule(Sandbox{})
	httpcaddyfile.RegisterHandlerDirective("mandrill_sandbox", parseSandbox)
	httpcaddyfile.RegisterDirectiveOrder("mandrill_sandbox", httpcaddyfile.Before, "respond")
}

// Sandbox stands in for the Mandrill API, for development and tests: it answers as Mandrill does,
// delivers nothing, and shows what it received on its page at /. Below /3.0/ it stands in for the
// Mailchimp Marketing API, and shows the members of audiences. Mails and members are in memory, survive
// a reload, and are the same for all sandboxes of a process. Clients beyond loopback, foreign Host
// headers, and requests that a proxy has forwarded are refused.
type Sandbox struct {
	// Whether clients beyond loopback, any Host header, and requests that a proxy has forwarded are let in.
	AllowRemote bool `json:"allow_remote,omitempty"`

	// Where events of mails are posted, as Mandrill posts them to a webhook. Default: nowhere.
	Webhook *SandboxWebhook `json:"webhook,omitempty"`

	handler http.Handler
	// pooled are the keys of what Provision took from sandboxPool.
	pooled []string
}

// SandboxWebhook is a webhook of the sandbox: a mailchimp_events, for example.
//
// Both strings take global placeholders such as {env.MANDRILL_WEBHOOK_KEY}, which are replaced when the configuration
// is loaded.
type SandboxWebhook struct {
	// The URL that events are posted to. A mailchimp_events has the same one. Required.
	URL string `json:"url,omitempty"`

	// The key that signs them. Required.
	Key string `json:"key,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Sandbox) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mandrill_sandbox",
		New: func() caddy.Module { return new(Sandbox) },
	}
}

// sandboxPool keeps the mails, and events that are still to be posted, over reloads.
var sandboxPool = caddy.NewUsagePool()

const sandboxPoolKey = "sandbox"

// sandboxes are the stand-ins of both APIs. A path belongs to one of them.
type sandboxes struct {
	mails   *sandbox.Sandbox
	members http.Handler
}

func newSandboxes() *sandboxes { return &sandboxes{sandbox.New(), members.New()} }

func (s *sandboxes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/3.0/"):
		s.members.ServeHTTP(w, r)
	case r.URL.Path == "/3.0":
		// Relative, which http.Redirect isn't: a prefix may be stripped.
		w.Header().Set("Location", "3.0/")
		w.WriteHeader(http.StatusPermanentRedirect)
	default:
		s.mails.ServeHTTP(w, r)
	}
}

// Destruct makes it a value of a pool. There is nothing to do.
func (*sandboxes) Destruct() error { return nil }

// sandboxPoster posts events of the sandbox until it is destructed.
type sandboxPoster struct{ stop func() }

// Destruct ends the posting.
func (p sandboxPoster) Destruct() error {
	p.stop()
	return nil
}

// Provision sets up the handler.
func (s *Sandbox) Provision(ctx caddy.Context) error {
	taken, err := s.take(sandboxPoolKey, func() (caddy.Destructor, error) { return newSandboxes(), nil })
	if err != nil {
		return err
	}
	both := taken.(*sandboxes)
	s.handler = both
	if !s.AllowRemote {
		s.handler = sandbox.LocalOnly(s.handler)
	}
	if s.Webhook == nil {
		return nil
	}
	url, err := directive.Expand("webhook", s.Webhook.URL)
	if err != nil {
		return err
	}
	key, err := directive.Expand("webhook", s.Webhook.Key)
	if err != nil {
		return err
	}
	warnOfReadable(ctx.Logger(), "webhook", s.Webhook.Key)
	_, err = s.take("webhook\x00"+url+"\x00"+key, func() (caddy.Destructor, error) {
		stop, err := both.mails.PostEvents(url, key)
		return sandboxPoster{stop}, err
	})
	return err
}

// take takes a value from the pool, which Cleanup gives back.
func (s *Sandbox) take(key string, construct caddy.Constructor) (any, error) {
	value, _, err := sandboxPool.LoadOrNew(key, construct)
	if err == nil {
		s.pooled = append(s.pooled, key)
	}
	return value, err
}

// Cleanup gives back what Provision took: what posts events before the sandbox whose events they are.
func (s *Sandbox) Cleanup() error {
	var errs []error
	for _, key := range slices.Backward(s.pooled) {
		_, err := sandboxPool.Delete(key)
		errs = append(errs, err)
	}
	s.pooled = nil
	return errors.Join(errs...)
}

// ServeHTTP answers as the Mandrill API does.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	s.handler.ServeHTTP(w, r)
	return nil
}

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	mandrill_sandbox [<matcher>] {
//	    allow_remote
//	    webhook <url> <key>
//	}
func (s *Sandbox) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Err("mandrill_sandbox takes no argument beside a matcher")
	}
	return directive.Options{
		"allow_remote": directive.Flag("allow_remote", &s.AllowRemote),
		"webhook": {Usage: "webhook <url> <key>", Min: 2, Max: 2, Set: func(args []string) error {
			s.Webhook = &SandboxWebhook{URL: args[0], Key: args[1]}
			return directive.NonEmpty(args)
		}},
	}.Unmarshal(d)
}

func parseSandbox(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	s := new(Sandbox)
	return s, s.UnmarshalCaddyfile(h.Dispenser)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Sandbox)(nil)
	_ caddy.CleanerUpper          = (*Sandbox)(nil)
	_ caddyhttp.MiddlewareHandler = (*Sandbox)(nil)
	_ caddyfile.Unmarshaler       = (*Sandbox)(nil)
)
