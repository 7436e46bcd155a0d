package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// keySource says where the commands that check an account take its key from.
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

// account is where to ask, and with which key.
type account struct{ key, base string }

// account takes the key from the first of its sources that is named, the last one being a variable of the environment.
func (s *keySource) account(variable, base string, inConfig func([]byte) (account, error)) (account, error) {
	a := account{base: base}
	switch {
	case s.keyFile != "":
		key, err := os.ReadFile(s.keyFile)
		if err != nil {
			return a, fmt.Errorf("reading the API key: %w", err)
		}
		a.key = strings.TrimSpace(string(key))
	case s.config != "":
		config, _, _, err := caddycmd.LoadConfig(s.config, s.adapter)
		if err != nil {
			return a, err
		}
		if a, err = inConfig(config); err != nil {
			return a, err
		}
	default:
		if a.key = os.Getenv(variable); a.key == "" {
			return a, fmt.Errorf("there is no API key: set %s, or name --key-file or --config", variable)
		}
	}
	if s.apiBase != "" {
		a.base = s.apiBase
	}
	return a, nil
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
