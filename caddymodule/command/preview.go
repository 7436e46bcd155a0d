package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/preview"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/view"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

type previewOptions struct {
	checks
	port        int
	allowRemote bool
}

func previewCommand() *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use:   "preview [<folder>]",
		Short: "Serves a page that shows the mails of templates while you write them",
		Long: `
Serves a page that lists the templates in a folder, by default the current
directory, and in the folders below it, each with its ctx files: name.ctx.json
and name.VARIANT.ctx.json beside name.jsonnet. It shows the mail that a template
returns for a ctx, with the checks of mailchimp_hook, and updates it when a file
is saved. For a template of mailchimp_audience, it shows the change of the
audience. Nothing is sent.

Only this machine can open the page, unless you give --allow-remote: ctx is
personal data.`,
		Example: "caddy mailchimp preview examples",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := "."
			if len(args) > 0 {
				folder = args[0]
			}
			return o.run(cmd, folder)
		},
	}
	cmd.Flags().IntVarP(&o.port, "port", "p", 8026, "The port; 0 chooses a free one")
	cmd.Flags().BoolVar(&o.allowRemote, "allow-remote", false, "Let other machines open the page")
	o.flags(cmd)
	return printErrors(cmd)
}

func (o *previewOptions) run(cmd *cobra.Command, folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("looking for the folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder: name the one that the template is in", folder)
	}
	var handler http.Handler = preview.New(folder, o.open)
	host := "127.0.0.1"
	if o.allowRemote {
		host = ""
	} else {
		handler = view.LocalOnly(handler, "Start it with --allow-remote to let others in.")
	}
	listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("%w: choose another port with --port", err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		stopped <- server.Shutdown(patience)
	}()
	fmt.Fprintf(cmd.OutOrStdout(), "The templates of %s are at http://localhost:%d/\n",
		folder, listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func (o *previewOptions) open(file string) (preview.Template, error) {
	template, err := o.load(file)
	if err != nil {
		return nil, located(file, err)
	}
	return &previewed{o, file, template}, nil
}

// previewed is a template for the page.
type previewed struct {
	options  *previewOptions
	file     string
	template *render.Template
}

func (p *previewed) Version() string { return p.template.Status().Version }

func (p *previewed) Result(ctx context.Context, body []byte) (r preview.Result, err error) {
	request, err := p.options.request(ctx, p.template, body)
	var ofAudience *audienceError
	if errors.As(err, &ofAudience) {
		return p.change(ofAudience.returned)
	}
	if err != nil {
		return r, located(p.file, err)
	}
	if request.HadKey() {
		r.Notes = append(r.Notes, "The template names a key, which is ignored: remove it.")
	}
	r.Request, err = request.MarshalJSON()
	if !caddymodule.HasRoom(request) {
		r.Notes = append(r.Notes, caddymodule.NoRoom+".")
	}
	return r, err
}

// change checks what a template of mailchimp_audience returned.
func (p *previewed) change(returned map[string]any) (r preview.Result, err error) {
	change, err := audience.NewChange(returned)
	if err != nil {
		return r, located(p.file, err)
	}
	r.Change, err = change.MarshalJSON()
	return r, err
}

func (p *previewed) Message(ctx context.Context, data any) ([]byte, error) {
	message, err := p.template.Render(ctx, data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(message)
}

// located returns an error with its place. Its text is whole: only the author sees it.
func located(file string, err error) error {
	var inTemplate *render.Error
	var inCtx *ctxError
	var invalid *mandrill.InvalidError
	switch {
	case errors.Is(err, render.ErrCancelled):
		return preview.ErrCancelled
	case errors.As(err, &inTemplate):
		return &preview.Problem{
			File: inTemplate.File, Line: inTemplate.Line, Column: inTemplate.Column, Message: inTemplate.Message,
		}
	case errors.As(err, &inCtx):
		return &preview.Problem{Line: inCtx.line, Message: inCtx.err.Error()}
	case errors.As(err, &invalid):
		return &preview.Problem{File: file, Field: invalid.Path, Message: err.Error()}
	}
	return &preview.Problem{File: file, Message: err.Error()}
}
