package view

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/merge"
)

// Mail is what the pages show of a mail, as one of its recipients gets it.
type Mail struct {
	merge.Mail
	From string `json:"from"`
	// Recipients are all addresses that the mail is for, the To is the one for which it is filled.
	Recipients []string `json:"recipients"`
	To         int      `json:"to"`
	// HasHTML reports whether there is something for the frame.
	HasHTML bool `json:"has_html"`
	// HTMLSize is that of the HTML, in bytes.
	HTMLSize int `json:"html_size"`
	// Lines are the headers in the order in which they are shown.
	Lines [][2]string `json:"lines"`
	// Links are the texts and the addresses of the links in the HTML.
	Links [][2]string `json:"links"`
	Files []Attached  `json:"files"`
	// Template is the name of the template at Mandrill that is filled with Regions.
	Template string                     `json:"template"`
	Regions  []mandrill.TemplateContent `json:"regions"`
	// Request is the whole as JSON, indented.
	Request string `json:"request"`
}

// Attached is an attachment or an image.
type Attached struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Size   int    `json:"size"`
	Inline bool   `json:"inline"`
}

// NewMail describes a request as the to-th recipient gets it.
func NewMail(request json.RawMessage, to int) (*Mail, *mandrill.Message, error) {
	var body struct {
		TemplateName    string                     `json:"template_name"`
		MCTemplateID    int64                      `json:"mc_template_id"`
		TemplateContent []mandrill.TemplateContent `json:"template_content"`
		Message         mandrill.Message           `json:"message"`
	}
	if err := json.Unmarshal(request, &body); err != nil {
		return nil, nil, fmt.Errorf("reading the mail: %w", err)
	}
	m := &body.Message
	if to < 0 || to >= len(m.To) {
		to = 0
	}
	mail := &Mail{
		To: to, Template: TemplateName(body.TemplateName, body.MCTemplateID),
		Regions:    append([]mandrill.TemplateContent{}, body.TemplateContent...),
		Recipients: []string{},
	}
	recipient := ""
	for i, r := range m.To {
		mail.Recipients = append(mail.Recipients, r.Email)
		if i == to {
			recipient = r.Email
		}
	}
	mail.Mail = merge.Fill(m, recipient)
	mail.From = address(mail.FromName, m.FromEmail)
	mail.HTMLSize, mail.HasHTML = len(mail.HTML), mail.HTML != ""
	mail.Links = links(mail.HTML)
	filled := *m
	filled.HTML = mail.HTML
	mail.HTML = "" // it goes into the frame
	mail.lines(m)
	mail.files(m)
	var indented bytes.Buffer
	if err := json.Indent(&indented, request, "", "  "); err != nil {
		return nil, nil, fmt.Errorf("reading the mail: %w", err)
	}
	mail.Request = shorten(indented.String())
	return mail, &filled, nil
}

// TemplateName names a template of Mandrill's, which has a name, or of Mailchimp's, which has a number. It is empty if
// there is neither.
func TemplateName(name string, number int64) string {
	if name == "" && number != 0 {
		return fmt.Sprintf("Mailchimp template %d", number)
	}
	return name
}

// shorten keeps a request with large attachments from stopping the browser.
func shorten(request string) string {
	const most = 1 << 20
	if len(request) <= most {
		return request
	}
	return strings.ToValidUTF8(request[:most], "") + fmt.Sprintf("\n… and %d bytes more", len(request)-most)
}

func address(name, email string) string {
	if name == "" {
		return email
	}
	return name + " <" + email + ">"
}

func (mail *Mail) lines(m *mandrill.Message) {
	line := func(name, value string) {
		if value != "" {
			mail.Lines = append(mail.Lines, [2]string{name, value})
		}
	}
	line("From", mail.From)
	for _, kind := range []string{"To", "Cc", "Bcc"} {
		var addresses []string
		for _, r := range m.To {
			if strings.EqualFold(r.Type, kind) || r.Type == "" && kind == "To" {
				addresses = append(addresses, address(r.Name, r.Email))
			}
		}
		line(kind, strings.Join(addresses, ", "))
	}
	line("Bcc", m.BCCAddress)
	line("Subject", mail.Subject)
	for _, name := range slices.Sorted(maps.Keys(mail.Headers)) {
		line(name, mail.Headers[name])
	}
	line("Tags", strings.Join(m.Tags, ", "))
	line("Subaccount", m.Subaccount)
	for _, name := range slices.Sorted(maps.Keys(m.Metadata)) {
		line("Metadata "+name, fmt.Sprint(m.Metadata[name]))
	}
}

func (mail *Mail) files(m *mandrill.Message) {
	mail.Files = []Attached{}
	for i, a := range Files(m) {
		size := base64.StdEncoding.DecodedLen(len(a.Content)) - strings.Count(a.Content[max(0, len(a.Content)-2):], "=")
		mail.Files = append(mail.Files, Attached{Name: a.Name, Type: a.Type, Size: size, Inline: i >= len(m.Attachments)})
	}
}

// Files are a message's attachments, then its images.
func Files(m *mandrill.Message) []mandrill.Attachment {
	return slices.Concat(m.Attachments, m.Images)
}
