package command

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
)

// keySource are the flags that name the source of an API key.
type keySource struct {
	keyFile, apiBase string
	config, adapter  string
}

func (s *keySource) flags(cmd *cobra.Command, api string) {
	flags := cmd.Flags()
	flags.StringVar(&s.keyFile, "key-file", "", "A file with the "+api+" API key")
	flags.StringVar(&s.apiBase, "api-base", "", "Where the "+api+" API is")
	flags.StringVarP(&s.config, "config", "c", "", "Configuration file to take the API key from")
	flags.StringVarP(&s.adapter, "adapter", "a", "", "Name of config adapter to apply")
}

// account is an API key and the URL of its API.
type account struct{ key, base string }

// load returns the configuration that names the key, or nil if the key comes from somewhere else.
func (s *keySource) load() ([]byte, error) {
	if s.keyFile != "" || s.config == "" {
		return nil, nil
	}
	config, _, _, err := caddycmd.LoadConfig(s.config, s.adapter)
	return config, err
}

// key returns the key from --key-file, else from a variable of the environment.
func (s *keySource) key(variable string) (string, error) {
	if s.keyFile != "" {
		key, err := os.ReadFile(s.keyFile)
		if err != nil {
			return "", fmt.Errorf("reading the API key: %w", err)
		}
		return strings.TrimSpace(string(key)), nil
	}
	if key := os.Getenv(variable); key != "" {
		return key, nil
	}
	return "", fmt.Errorf("there is no API key: set %s, or name --key-file or --config", variable)
}

// apps are what a configuration says of mails.
type apps struct {
	Mailchimp caddymodule.App `json:"mailchimp"`
	HTTP      json.RawMessage `json:"http"`
}

// appsIn reads a configuration.
func appsIn(config json.RawMessage) (*apps, error) {
	var parsed struct {
		Apps apps `json:"apps"`
	}
	if err := json.Unmarshal(config, &parsed); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return &parsed.Apps, nil
}

// hooks returns the hooks, each with the sender domains that it has or takes from the app.
func (a *apps) hooks() []*caddymodule.Hook {
	found := handlersIn[caddymodule.Hook](a.HTTP, "mailchimp_hook")
	for _, hook := range found {
		if len(hook.SenderDomains) == 0 {
			hook.SenderDomains = a.Mailchimp.SenderDomains
		}
	}
	return found
}

// handlersIn finds the handlers of a name, however deep they stand in subroutes.
func handlersIn[T any](config json.RawMessage, name string) []*T {
	var handler struct {
		Handler string `json:"handler"`
	}
	if json.Unmarshal(config, &handler) == nil && handler.Handler == name {
		found := new(T)
		if json.Unmarshal(config, found) == nil {
			return []*T{found}
		}
	}
	var children []json.RawMessage
	var fields map[string]json.RawMessage
	if json.Unmarshal(config, &fields) == nil {
		for _, child := range fields {
			children = append(children, child)
		}
	} else if json.Unmarshal(config, &children) != nil {
		return nil
	}
	var handlers []*T
	for _, child := range children {
		handlers = append(handlers, handlersIn[T](child, name)...)
	}
	return handlers
}
