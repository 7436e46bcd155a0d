package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/caddymodule"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

type renderOptions struct {
	checks
	template, ctx string
	html, text    bool
	audience      bool
}

// checks are those of mailchimp_hook, for the commands that show what a template makes.
type checks struct {
	imports       []string
	senderDomains []string
	from          string
}

func (c *checks) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&c.imports, "imports", nil, "A folder that templates may import from; several are allowed")
	flags.StringArrayVar(&c.senderDomains, "sender-domain", nil,
		"A domain that the mail may come from; several are allowed")
	flags.StringVar(&c.from, "from", "", "The sender's address if the template names none")
}

func (c *checks) load(file string) (*render.Template, error) {
	return render.Load(file, render.Options{Imports: c.imports, Timeout: caddymodule.DefaultRenderTimeout})
}

// rendered returns what a template returns for the contents of a ctx file.
func rendered(ctx context.Context, template *render.Template, body []byte) (map[string]any, error) {
	data, problem := ory.DecodeCtx(string(body))
	if problem != nil {
		return nil, describeJSON(body, problem)
	}
	return template.Render(ctx, data)
}

// request returns the message that a template makes of the contents of a ctx file.
func (c *checks) request(ctx context.Context, template *render.Template, body []byte) (*mandrill.Request, error) {
	message, err := rendered(ctx, template, body)
	if err != nil {
		return nil, err
	}
	policy, err := c.policy(message)
	if err != nil {
		return nil, err
	}
	request, err := mandrill.NewRequest(message, policy)
	if err != nil && isChange(message) {
		return nil, &audienceError{message}
	}
	return request, err
}

// audienceError says that a template makes no mail. It has what the template returned.
type audienceError struct{ returned map[string]any }

func (*audienceError) Error() string { return "a template of mailchimp_audience, which makes no mail" }

// isChange reports whether a template returned what mailchimp_audience takes, right or wrong.
func isChange(returned map[string]any) bool {
	if returned["message"] != nil {
		return false
	}
	return returned["email_address"] != nil || returned["archive"] != nil || returned["status_if_new"] != nil
}

func renderCommand() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render --template <file> --ctx <file>",
		Short: "Prints the message that a template returns for a ctx",
		Long: `
Evaluates a Jsonnet template over a ctx, the JSON body of a hook, with the
checks of mailchimp_hook, and prints the message as JSON. Nothing is sent.

With --audience, the template is one of mailchimp_audience, and the command
prints the change of the audience.

The sender is checked if you give --sender-domain. An error is printed with file
and line, and the command exits with status 1. The error is printed in full: it
may repeat what is in the ctx.`,
		Example: "caddy mailchimp render --template examples/welcome.jsonnet " +
			"--ctx examples/welcome.ctx.json --html > welcome.html",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			output, err := o.run(cmd)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(output)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.template, "template", "t", "", "The Jsonnet file (required)")
	flags.StringVarP(&o.ctx, "ctx", "c", "", "The JSON file with ctx (required)")
	flags.BoolVar(&o.html, "html", false, "Print only the HTML part")
	flags.BoolVar(&o.text, "text", false, "Print only the text part")
	o.flags(cmd)
	flags.BoolVar(&o.audience, "audience", false, "The template is one of mailchimp_audience")
	for _, required := range []string{"template", "ctx"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // the flag stands above
		}
	}
	for _, ofMails := range []string{"html", "text", "sender-domain", "from"} {
		cmd.MarkFlagsMutuallyExclusive("audience", ofMails)
	}
	cmd.MarkFlagsMutuallyExclusive("html", "text")
	return printErrors(cmd)
}

func (o *renderOptions) run(cmd *cobra.Command) ([]byte, error) {
	body, err := os.ReadFile(o.ctx)
	if err != nil {
		return nil, fmt.Errorf("reading ctx: %w", err)
	}
	template, err := o.load(o.template)
	if err != nil {
		return nil, err
	}
	if o.audience {
		message, err := rendered(cmd.Context(), template, body)
		if err != nil {
			return nil, o.describe(template, err)
		}
		change, err := audience.NewChange(message)
		if err != nil {
			return nil, o.describe(template, err)
		}
		return indented(change)
	}
	request, err := o.request(cmd.Context(), template, body)
	if err != nil {
		return nil, o.describe(template, err)
	}
	if request.HadKey() {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s names a key, which is ignored: remove it\n", o.template)
	}
	output, err := o.print(request)
	if err == nil && !caddymodule.HasRoom(request) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", o.template, caddymodule.NoRoom)
	}
	return output, err
}

// describe returns an error with its place.
func (o *renderOptions) describe(template *render.Template, err error) error {
	var inCtx *ctxError
	var invalid interface {
		error
		Field() string
	}
	var rendering *render.Error
	var ofAudience *audienceError
	switch {
	case errors.Is(err, render.ErrCancelled):
		return fmt.Errorf("%s cancelled: nothing is sent for this ctx", o.template)
	case errors.As(err, &ofAudience):
		return fmt.Errorf("%s is a template of mailchimp_audience: give --audience", o.template)
	case errors.As(err, &inCtx):
		return fmt.Errorf("%s:%d: %w", o.ctx, max(1, inCtx.line), inCtx.err)
	case errors.As(err, &invalid):
		return fmt.Errorf("%s: %w", template.Place(invalid.Field()), err)
	case errors.As(err, &rendering) && rendering.Line == 0:
		return fmt.Errorf("%s:1:1: %s", rendering.File, rendering.Message)
	}
	return err
}

// policy returns the policy of the sender domains that are given. Without one, any sender of the message passes.
func (c *checks) policy(returned map[string]any) (*mandrill.Policy, error) {
	if len(c.senderDomains) > 0 {
		return mandrill.NewPolicy(c.senderDomains, c.from, "")
	}
	used, from := c.from, c.from
	message, _ := returned["message"].(map[string]any)
	if sender, _ := message["from_email"].(string); sender != "" {
		used, from = "", sender
	}
	_, domain, _ := strings.Cut(from, "@")
	if _, err := mandrill.NormalizeDomain(domain); err != nil {
		domain = "invalid" // the sender is wrong, and the message's check says how
	}
	return mandrill.NewPolicy([]string{domain}, used, "")
}

func (o *renderOptions) print(request *mandrill.Request) ([]byte, error) {
	if !o.html && !o.text {
		return indented(request)
	}
	data, err := request.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var parts struct {
		Message struct {
			HTML string `json:"html"`
			Text string `json:"text"`
		} `json:"message"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return nil, err
	}
	part, name := parts.Message.HTML, "html"
	if o.text {
		part, name = parts.Message.Text, "text"
	}
	if part == "" {
		return nil, fmt.Errorf("%s: the message has no %s part", o.template, name)
	}
	return []byte(part), nil
}

// ctxError is an error in a ctx file. Line is 0 if the place is not known.
type ctxError struct {
	line int
	err  error
}

func (e *ctxError) Error() string {
	if e.line == 0 {
		return e.err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.line, e.err)
}

func (e *ctxError) Unwrap() error { return e.err }

// indented is for people: json.Marshal would escape the HTML.
func indented(value json.Marshaler) ([]byte, error) {
	data, err := value.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	if err := json.Indent(&output, data, "", "  "); err != nil {
		return nil, err
	}
	output.WriteByte('\n')
	return output.Bytes(), nil
}

// describeJSON adds the line to what is wrong with a JSON file.
func describeJSON(body []byte, problem *ory.Error) error {
	var value any
	err := json.Unmarshal(body, &value)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return &ctxError{err: problem}
	}
	return &ctxError{line: 1 + bytes.Count(body[:min(int(syntax.Offset), len(body))], []byte("\n")), err: err}
}
