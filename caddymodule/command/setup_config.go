package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/directive"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// senderAccount is an account of Mandrill's, and what a configuration asks of it.
type senderAccount struct {
	account
	// domains are its sender domains, and templates the files whose mails it sends. Both are sorted.
	domains, templates []string
}

// configuration is what setup reads of a configuration.
type configuration struct {
	accounts []*senderAccount
	// webhookKeys are the keys of mailchimp_events by their URL.
	webhookKeys map[string][]string
}

// readConfiguration finds the API keys with their sender domains, as the hooks use them.
func readConfiguration(config []byte) (*configuration, error) {
	apps, err := appsIn(config)
	if err != nil {
		return nil, err
	}
	app := &apps.Mailchimp
	base, err := directive.Expand("api_base", cmp.Or(app.APIBase, mandrill.DefaultBaseURL))
	if err != nil {
		return nil, err
	}
	accounts := make(map[string]*senderAccount)
	add := func(key string, domains []string, template string) error {
		if key == "" {
			return caddymodule.ErrNoKey
		}
		key, err := directive.Expand("api_key", key)
		if err != nil {
			return err
		}
		if accounts[key] == nil {
			accounts[key] = &senderAccount{account: account{key, base}}
		}
		return accounts[key].add(domains, template)
	}
	if app.APIKey != "" {
		err = add(app.APIKey, app.SenderDomains, "")
	}
	for _, hook := range apps.hooks() {
		err = errors.Join(err, add(cmp.Or(hook.APIKey, app.APIKey), hook.SenderDomains, hook.Template))
	}
	if err != nil {
		return nil, err
	}
	if len(accounts) == 0 {
		return nil, caddymodule.ErrNoKey
	}
	found := &configuration{webhookKeys: make(map[string][]string)}
	found.accounts = slices.SortedFunc(maps.Values(accounts), func(a, b *senderAccount) int {
		return cmp.Or(slices.Compare(a.domains, b.domains), strings.Compare(a.key, b.key))
	})
	return found, found.addWebhooks(apps.HTTP)
}

func (a *senderAccount) add(domains []string, template string) error {
	for _, domain := range domains {
		expanded, err := expandDomain(domain)
		if err != nil {
			return err
		}
		a.domains = append(a.domains, expanded)
	}
	if template != "" {
		path, err := directive.Expand("template", template)
		if err != nil {
			return err
		}
		a.templates = append(a.templates, path)
	}
	for _, list := range []*[]string{&a.domains, &a.templates} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return nil
}

// expandDomain returns a sender domain as mail names it.
func expandDomain(configured string) (string, error) {
	expanded, err := directive.Expand("sender_domain", configured)
	if err != nil {
		return "", err
	}
	return mandrill.NormalizeDomain(expanded)
}

func (c *configuration) addWebhooks(config json.RawMessage) error {
	for _, events := range handlersIn[caddymodule.Events](config, "mailchimp_events") {
		url, err := directive.Expand("url", events.URL)
		if err != nil {
			return err
		}
		keys := make([]string, 0, len(events.Keys))
		for _, key := range events.Keys {
			// The key of a webhook that setup is about to make may not be there yet.
			if expanded, err := directive.Expand("key", key); err == nil {
				keys = append(keys, expanded)
			}
		}
		c.webhookKeys[url] = append(c.webhookKeys[url], keys...)
	}
	return nil
}

var (
	subaccountLiteral = regexp.MustCompile(`\bsubaccount['"]?\s*\+?:{1,3}\s*(?:'([^'\\]+)'|"([^"\\]+)")`)
	importLiteral     = regexp.MustCompile(`\bimport\s*(?:'([^'\\]+)'|"([^"\\]+)")`)
)

// subaccountsIn returns the sub-accounts that a template's text, or what it imports from its own folder, names
// literally. A name that the template computes is not found.
func subaccountsIn(template string) ([]string, error) {
	text, err := os.ReadFile(template)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	names := make(map[string]bool)
	read := map[string]bool{template: true}
	for texts := []string{string(text)}; len(texts) > 0; texts = texts[1:] {
		for _, match := range subaccountLiteral.FindAllStringSubmatch(texts[0], -1) {
			names[match[1]+match[2]] = true
		}
		for _, match := range importLiteral.FindAllStringSubmatch(texts[0], -1) {
			path := filepath.Join(filepath.Dir(template), match[1]+match[2])
			if imported, err := os.ReadFile(path); err == nil && !read[path] {
				read[path], texts = true, append(texts, string(imported))
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}
