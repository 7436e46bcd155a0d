package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule/admin"
)

// adminFlags are the flags that name the admin endpoint of the running Caddy. They are those of `caddy reload`.
type adminFlags struct {
	address, config, adapter string
	asJSON                   bool
}

// addTo gives the command, and those below it, the flags.
func (o *adminFlags) addTo(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.address, "address", "", "Address of the administration API listener, if not the default")
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file to take the address from")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of config adapter to apply")
}

func (o *adminFlags) addJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "Print JSON")
	return cmd
}

// request calls the admin API. An answer that is an error is returned as one.
func (o *adminFlags) request(method, path string, body any) (*http.Response, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(o.address, nil, o.config, o.adapter)
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	var encoded []byte
	if body != nil {
		if encoded, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	response, err := requestAdmin(address, method, admin.Path+path, encoded)
	if err != nil {
		return nil, fmt.Errorf("asking the running Caddy: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		defer response.Body.Close()
		return nil, adminError(response)
	}
	return response, nil
}

// requestAdmin does what caddycmd.AdminAPIRequest does, and returns an answer that is an error as an answer.
func requestAdmin(address, method, path string, body []byte) (*http.Response, error) {
	listener, err := caddy.ParseNetworkAddress(address)
	if err != nil || listener.PortRangeSize() > 1 {
		return nil, fmt.Errorf("invalid admin address %s: %w", address, err)
	}
	host := listener.JoinHostPort(0)
	origin := "http://" + host
	if listener.IsUnixNetwork() {
		host, _, _ = strings.Cut(host, "|") // what follows are the socket's permissions
		origin = "http://127.0.0.1"         // Caddy accepts it from a socket
	}
	r, err := http.NewRequest(method, origin+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if !listener.IsUnixNetwork() {
		r.Header.Set("Origin", origin)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, listener.Network, host)
		},
	}}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("performing request: %w", err)
	}
	return response, nil
}

// adminError returns the error that Caddy answered.
func adminError(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("asking the running Caddy: HTTP %d: reading error message: %w", response.StatusCode, err)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return errors.New(answer.Error)
	}
	if response.StatusCode == http.StatusNotFound {
		return errors.New("the running Caddy doesn't have this plugin, or not this version of it")
	}
	return fmt.Errorf("asking the running Caddy: caddy responded with error: HTTP %d: %s", response.StatusCode, body)
}

// call calls the admin API and decodes its answer.
func (o *adminFlags) call(method, path string, body, answer any) error {
	response, err := o.request(method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
