package caddymodule

import (
	"net/http"
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
// a reload, and are the same for all sandboxes of a process. Clients beyond loopback and foreign Host
// headers are refused.
type Sandbox struct {
	// Whether clients beyond loopback, and any Host header, are let in.
	AllowRemote bool `json:"allow_remote,omitempty"`

	handler http.Handler
}

// CaddyModule returns the Caddy module information.
func (Sandbox) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mandrill_sandbox",
		New: func() caddy.Module { return new(Sandbox) },
	}
}

// sandboxPool keeps the mails over reloads.
var sandboxPool = caddy.NewUsagePool()

const sandboxPoolKey = "sandbox"

// sandboxes are the stand-ins of both APIs, told apart by their paths.
type sandboxes struct{ mails, members http.Handler }

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

// Provision sets up the handler.
func (s *Sandbox) Provision(caddy.Context) error {
	pooled, _, err := sandboxPool.LoadOrNew(sandboxPoolKey, func() (caddy.Destructor, error) {
		return newSandboxes(), nil
	})
	if err != nil {
		return err
	}
	s.handler = pooled.(http.Handler)
	if !s.AllowRemote {
		s.handler = sandbox.LocalOnly(s.handler)
	}
	return nil
}

// Cleanup gives up what Provision took.
func (s *Sandbox) Cleanup() error {
	if s.handler == nil {
		return nil
	}
	_, err := sandboxPool.Delete(sandboxPoolKey)
	return err
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
//	}
func (s *Sandbox) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Err("mandrill_sandbox takes no argument beside a matcher")
	}
	return directive.Options{"allow_remote": directive.Flag("allow_remote", &s.AllowRemote)}.Unmarshal(d)
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
