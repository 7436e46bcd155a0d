package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

type renderOptions struct {
	template, ctx string
	html, text    bool
	imports       []string
	senderDomains []string
	from          string
}

func renderCommand() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render --template <file> --ctx <file>",
		Short: "Prints the message that a template makes of a ctx",
		Long: `
Evaluates a Jsonnet template over a ctx, the JSON body of a hook, with the
checks of mailchimp_hook, and prints the message as JSON. Nothing is sent.

The sender is checked where --sender-domain is given. An error is printed with
file and line, and ends the command with status 1. It is printed whole: it may
repeat what stands in the ctx.`,
		Example: "caddy mailchimp render --template examples/welcome.jsonnet --ctx examples/welcome.ctx.json --html > welcome.html",
		Args:    cobra.NoArgs,
		RunE: plainly(func(cmd *cobra.Command, _ []string) error {
			output, err := o.run(cmd)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(output)
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.template, "template", "t", "", "The Jsonnet file (required)")
	flags.StringVarP(&o.ctx, "ctx", "c", "", "The JSON file with ctx (required)")
	flags.BoolVar(&o.html, "html", false, "Print the HTML part alone")
	flags.BoolVar(&o.text, "text", false, "Print the text part alone")
	flags.StringArrayVar(&o.imports, "imports", nil, "A folder that the template may import from; several are allowed")
	flags.StringArrayVar(&o.senderDomains, "sender-domain", nil, "A domain that the mail may come from; several are allowed")
	flags.StringVar(&o.from, "from", "", "The sender's address where the template names none")
	for _, required := range []string{"template", "ctx"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // the flag stands above
		}
	}
	cmd.MarkFlagsMutuallyExclusive("html", "text")
	return cmd
}

func (o *renderOptions) run(cmd *cobra.Command) ([]byte, error) {
	body, err := os.ReadFile(o.ctx)
	if err != nil {
		return nil, fmt.Errorf("reading ctx: %w", err)
	}
	ctx, problem := ory.DecodeCtx(body)
	if problem != nil {
		return nil, fmt.Errorf("%s: %w", o.ctx, describeJSON(body, problem))
	}
	template, err := render.Load(o.template, render.Options{Imports: o.imports, Timeout: defaultRenderTimeout})
	if err != nil {
		return nil, err
	}
	message, err := template.Render(cmd.Context(), ctx)
	if errors.Is(err, render.ErrCancelled) {
		return nil, fmt.Errorf("%s cancelled: no mail is sent for this ctx", o.template)
	}
	if err != nil {
		return nil, err
	}
	policy, err := o.policy(message)
	if err != nil {
		return nil, err
	}
	request, err := mandrill.ParseRequest(message, policy)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.template, err)
	}
	if request.HadKey() {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s names a key, which is ignored: remove it\n", o.template)
	}
	return o.print(request)
}

// policy is the operator's where a domain is given. Without one, the message's own sender is let pass.
func (o *renderOptions) policy(message []byte) (*mandrill.Policy, error) {
	domains := o.senderDomains
	if len(domains) == 0 {
		var sender struct {
			Message struct {
				FromEmail string `json:"from_email"`
			} `json:"message"`
		}
		from := o.from
		if json.Unmarshal(message, &sender) == nil && sender.Message.FromEmail != "" {
			from = sender.Message.FromEmail
		}
		_, domain, found := strings.Cut(from, "@")
		if !found {
			domain = "invalid"
		}
		domains = []string{domain}
	}
	return mandrill.NewPolicy(domains, o.from, "")
}

func (o *renderOptions) print(request *mandrill.Request) ([]byte, error) {
	data, err := request.MarshalJSON() // json.Marshal would escape the HTML
	if err != nil {
		return nil, err
	}
	if !o.html && !o.text {
		var output bytes.Buffer
		if err := json.Indent(&output, data, "", "  "); err != nil {
			return nil, err
		}
		output.WriteByte('\n')
		return output.Bytes(), nil
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

// describeJSON adds the line to what is wrong with a JSON file.
func describeJSON(body []byte, problem *ory.Error) error {
	var value any
	err := json.Unmarshal(body, &value)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return problem
	}
	line := 1 + bytes.Count(body[:min(int(syntax.Offset), len(body))], []byte("\n"))
	return fmt.Errorf("line %d: %w", line, err)
}
