package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App holds what all hooks share: the account at Mailchimp Transactional (Mandrill) that sends
// for them, and how their mails are delivered. Hooks can name an account of their own.
//
// All strings take global placeholders such as {env.MANDRILL_API_KEY} or {file./run/secrets/key},
// which are replaced when the configuration is loaded. Files of api_key, of outbox_key, and of the user and the
// password in the DSN of outbox postgres are followed: a change takes effect within seconds.
type App struct {
	// The Mandrill API key of hooks that name none.
	APIKey string `json:"api_key,omitempty"`

	// The domains that mail may come from, for hooks that name none.
	SenderDomains []string `json:"sender_domains,omitempty"`

	// Where the Mandrill API is. Default: https://mandrillapp.com/api/1.0
	APIBase string `json:"api_base,omitempty"`

	// Where mails are kept between the answer to Ory and their delivery. Default: SQLite, in Caddy's data directory.
	Outbox *Outbox `json:"outbox,omitempty"`

	// How many mails of one sender are sent at once. Default: 32.
	Workers int `json:"workers,omitempty"`

	// How long a mail is retried before it is dead, holds not counted. Default: 48h.
	RetryFor caddy.Duration `json:"retry_for,omitempty"`

	// How long sent, rejected, expired and discarded mails stay listed. Default: 24h.
	Keep caddy.Duration `json:"keep,omitempty"`

	// How many undelivered mails there may be; past it, hooks get 503. Default: 100000.
	MaxPending int `json:"max_pending,omitempty"`

	// How many bytes one evaluation of a template may allocate. Default: 128 MB.
	RenderMemory int64 `json:"render_memory,omitempty"`

	// Keys that encrypt the content of mails at rest: the first one writes, all of them read.
	OutboxKeys []string `json:"outbox_keys,omitempty"`

	// Whether the content of finished mails is kept, but for those with view_content_link false.
	KeepContent bool `json:"keep_content,omitempty"`

	// Whether addresses of recipients, and errors that may hold what a person typed, appear in logs.
	LogRecipients bool `json:"log_recipients,omitempty"`

	ctx     caddy.Context
	logger  *zap.Logger
	slogger *slog.Logger
	metrics *metrics
	events  *eventQueue
	replies *replyCache

	// apiKey is nil if the app has none.
	apiKey  *secret
	domains []string
	base    string

	mu        sync.Mutex
	pings     lastAnswers
	indexes   lastAnswers
	searchers searchers
	// formerOutboxes are files of outboxes that earlier configurations had.
	formerOutboxes []string
	// leftBehind is how many entries they had when that was counted last.
	leftBehind atomic.Int64
	// keyOf is the key that sends for a domain. A domain has one.
	keyOf   map[string]string
	clients map[string]*mandrill.Client
	hooks   []*Webhook
	// lists are the accounts of audiences, by the senders of their entries, and listClients their clients.
	lists       map[string]*listAccount
	listClients map[string]*audience.Client
	// registered are all senders with their keys, and keys puts changed keys in force.
	registered []registration
	keys       *apiKeys
	followed   followedSecrets

	// hearsEvents is set if there is a mailchimp_events.
	hearsEvents atomic.Bool

	outboxConfig outbox.Config
	// outboxKey names the outbox's database.
	outboxKey  string
	outboxKeys []*secret
	// dsn is nil unless the outbox is in PostgreSQL.
	dsn *secret
	// outbox and pooled are nil before Start, and if the outbox is off. opened is closed when they are set.
	outbox *outbox.Outbox
	pooled *pooledOutbox
	opened chan struct{}

	stop context.CancelFunc
	done sync.WaitGroup
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "mailchimp",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the app.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.logger = ctx.Logger()
	a.slogger = ctx.Slogger()
	a.opened = make(chan struct{})
	a.keyOf = make(map[string]string)
	a.clients = make(map[string]*mandrill.Client)
	a.lists = make(map[string]*listAccount)
	a.listClients = make(map[string]*audience.Client)
	a.keys = &apiKeys{app: a}

	var err error
	if a.replies, err = takeReplyCache(); err != nil {
		return err
	}
	if a.metrics, err = registerMetrics(ctx); err != nil {
		return err
	}
	if a.events, err = newEventQueue(ctx, a); err != nil {
		return err
	}
	if a.base, err = directive.Expand("api_base", cmp.Or(a.APIBase, mandrill.DefaultBaseURL)); err != nil {
		return err
	}
	if a.APIKey != "" {
		if a.apiKey, err = newSecret("api_key", a.APIKey); err != nil {
			return err
		}
	}
	if a.domains, err = directive.ExpandAll("sender_domain", a.SenderDomains); err != nil {
		return err
	}
	if a.apiKey != nil && len(a.domains) > 0 {
		if err = a.registerDomains(a.domains, a.apiKey); err != nil {
			return err
		}
	}
	return a.provisionOutbox()
}

// Validate checks what does not depend on the world outside.
func (a *App) Validate() error {
	if err := a.checkOutbox(); err != nil {
		return err
	}
	for option, negative := range map[string]bool{
		"workers": a.Workers < 0, "retry_for": a.RetryFor < 0, "keep": a.Keep < 0, "max_pending": a.MaxPending < 0,
		"render_memory": a.RenderMemory < 0,
	} {
		if negative {
			return fmt.Errorf("%s must be more than 0", option)
		}
	}
	return nil
}

// addHook has the hook's template watched while the app runs.
func (a *App) addHook(h *Webhook) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks = append(a.hooks, h)
}

// Start opens the outbox, watches the hooks' templates, and follows the files of secrets.
func (a *App) Start() error {
	if err := a.startOutbox(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.done.Go(func() { a.followSecrets(ctx) })
	if a.outbox != nil {
		a.done.Go(func() { a.watchIndexes(ctx) })
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, hook := range a.hooks {
		a.metrics.initHook(hook.kind.senders(), hook.Template)
		a.done.Go(func() { hook.watch(ctx) })
	}
	return nil
}

// Stop ends the watching. The outbox goes on to store: servers may stop after this.
func (a *App) Stop() error {
	a.stop()
	if !waitFor(&a.done, stopPatience) {
		a.logger.Warn("a file of a template or of a secret can't be read: it is not waited for any longer")
	}
	a.events.stop()
	return a.stopOutbox()
}

// stopPatience is how long a stop waits for what reads files: a network file system may not answer.
const stopPatience = 5 * time.Second

// waitFor reports whether what is done ends in time.
func waitFor(done *sync.WaitGroup, patience time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(patience):
		return false
	}
}

// Cleanup gives up what Provision took. Hooks that are under way keep their clients.
func (a *App) Cleanup() error {
	err := a.releaseOutbox()
	a.mu.Lock()
	for _, client := range a.clients {
		client.CloseIdleConnections()
	}
	for _, client := range a.listClients {
		client.CloseIdleConnections()
	}
	a.mu.Unlock()
	if a.replies != nil {
		err = errors.Join(err, releaseReplyCache())
	}
	return err
}

// lastGood returns the folder of the last good sources of templates.
func lastGood() string {
	return filepath.Join(caddy.AppDataDir(), "mailchimp", "templates")
}

func makeFolder(folder string) error { return os.MkdirAll(folder, 0o700) }

// ErrNoKey says that neither a hook nor the app has an API key of Mandrill.
var ErrNoKey = errors.New("api_key is missing: name it in the block of mailchimp_hook " +
	"or in the global option mailchimp, for example api_key {env.MANDRILL_API_KEY}")

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
