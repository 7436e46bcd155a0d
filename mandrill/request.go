package mandrill

import (
	"maps"
	"reflect"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// A Request is the body of messages/send, messages/send-template or messages/send-mc-template, checked and ready to be
// sent. It is made by NewRequest. What MarshalJSON returns can be stored, and sent as a Stored.
type Request struct {
	// endpoint is the path of the call below the API's base.
	endpoint string
	// body is what is sent, but for the key.
	body map[string]any
	// message is the body's message.
	message      map[string]any
	senderDomain string
	hadKey       bool
	key          string
	expiresIn    time.Duration
}

// NewRequest checks what a template returned, as encoding/json decodes it with UseNumber. Errors are *InvalidError. The
// body becomes part of the request.
//
// The request is sent as it came, with these exceptions: key and delivery are taken off; from_email
// and from_name are those of the policy where there are none; sender domains are normalized; blanks around addresses
// are taken off; CR, LF and NUL become spaces in what is bound for a header; a send-template without template_content
// gets an empty one.
func NewRequest(body map[string]any, p *Policy) (*Request, error) {
	for _, choice := range []string{"template_name", "mc_template_id"} {
		if body[choice] == nil {
			delete(body, choice) // null stands for a field that is left out
		}
	}
	endpoint := endpointOf(body["template_name"] != nil, body["mc_template_id"] != nil)
	if _, hasContent := body["template_content"]; hasContent && endpoint != sendTemplateEndpoint {
		return nil, mailchimp.Invalid("template_content", "needs a template_name beside it")
	}
	if err := checkFields("", body, documented[endpoint]); err != nil {
		return nil, err
	}
	r, ok := &Request{body: body, endpoint: endpoint}, false
	if r.message, ok = body["message"].(map[string]any); !ok {
		return nil, mailchimp.Invalid("message", "is missing")
	}
	if err := r.checkSender(p); err != nil {
		return nil, err
	}
	for _, check := range []func() error{
		r.takeDelivery, r.checkTemplate, r.checkSendAt, r.checkRecipients, r.checkContent, r.checkHeaders,
		r.checkTags, r.checkMetadata, r.checkMergeVars, r.checkFiles,
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ParseRequest is NewRequest of JSON.
func ParseRequest(data []byte, p *Policy) (*Request, error) {
	body, err := mailchimp.DecodeObject(data, "the message")
	if err != nil {
		return nil, err
	}
	return NewRequest(body, p)
}

// HadKey reports whether the template named a key, which is ignored.
func (r *Request) HadKey() bool { return r.hadKey }

// IdempotencyKey is what the template says that the message's key is, or empty.
func (r *Request) IdempotencyKey() string { return r.key }

// ExpiresIn is how long the message is of use, or 0 where the template doesn't say.
func (r *Request) ExpiresIn() time.Duration { return r.expiresIn }

// SenderDomain is the domain of from_email, normalized.
func (r *Request) SenderDomain() string { return r.senderDomain }

// Recipients returns the addresses of all recipients, as they were written.
func (r *Request) Recipients() []string { return addresses(r.addressees()) }

// IsPrimary reports whether the address is one that the message is to, and not a copy. If a message has
// copies only, they are what it is to. An address that isn't among the recipients, as Mandrill may write it in another
// way, counts as one that the message is to.
func (r *Request) IsPrimary(address string) bool { return isPrimary(r.addressees(), address) }

func (r *Request) addressees() []addressee {
	var list []addressee
	for _, to := range objects(r.message, "to") {
		email, _ := to["email"].(string)
		kind, _ := to["type"].(string)
		list = append(list, addressee{email, kind})
	}
	return list
}

// Subaccount is the sub-account that sends the message, or empty.
func (r *Request) Subaccount() string {
	name, _ := r.message["subaccount"].(string)
	return name
}

// Private reports whether the content is not to be kept: view_content_link is false.
func (r *Request) Private() bool {
	link, given := r.message["view_content_link"].(bool)
	return given && !link
}

// SetMetadata adds a field to the message's metadata, and reports whether there was room and the name
// was free.
func (r *Request) SetMetadata(name, value string) bool {
	metadata, _ := r.message["metadata"].(map[string]any)
	if _, taken := metadata[name]; taken {
		return false
	}
	extended := map[string]any{name: value}
	maps.Copy(extended, metadata)
	if metadataSize(extended) > maxMetadata {
		return false
	}
	r.message["metadata"] = extended
	return true
}

const (
	sendEndpoint           = "messages/send"
	sendTemplateEndpoint   = "messages/send-template"
	sendMCTemplateEndpoint = "messages/send-mc-template"
)

// documented are the fields of each call.
var documented = map[string]reflect.Type{
	sendEndpoint: reflect.TypeFor[sendBody](), sendTemplateEndpoint: reflect.TypeFor[templateBody](),
	sendMCTemplateEndpoint: reflect.TypeFor[mcTemplateBody](),
}

// endpointOf returns the call for a message with the name of a template, or with the number of one of Mailchimp's.
func endpointOf(hasName, hasNumber bool) string {
	switch {
	case hasName:
		return sendTemplateEndpoint
	case hasNumber:
		return sendMCTemplateEndpoint
	}
	return sendEndpoint
}

// MarshalJSON returns the body as it is sent, but for the key.
func (r *Request) MarshalJSON() ([]byte, error) { return mailchimp.Encode(r.body) }
