package mandrill

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxMetadata is the size of metadata as JSON, in bytes.
	maxMetadata = 250
	maxTag      = 50
	maxSubject  = 998
)

// A Request is the body of messages/send or messages/send-template, checked and ready to be sent.
// It is made by ParseRequest, and restored from its JSON by json.Unmarshal, which checks nothing.
type Request struct {
	// body is what is sent, but for the key.
	body map[string]any
	// message is the body's message.
	message      map[string]any
	senderDomain string
	hadKey       bool
	key          string
	expiresIn    time.Duration
}

// ParseRequest checks what a template returned. Errors are *InvalidError.
//
// The request is sent as it came, with these exceptions: key and delivery are taken off; from_email
// and from_name are those of the policy where there are none; CR, LF and NUL become spaces in what is
// bound for a header; a send-template without template_content gets an empty one.
func ParseRequest(data []byte, p *Policy) (*Request, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, invalid("", "the message is not valid JSON")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, invalid("", "there is something after the message")
	}
	body, ok := value.(map[string]any)
	if !ok {
		return nil, wrongType("the message", "an object", value)
	}
	documented := reflect.TypeFor[sendBody]()
	if _, isTemplate := body["template_name"]; isTemplate {
		documented = reflect.TypeFor[templateBody]()
	} else if _, hasContent := body["template_content"]; hasContent {
		return nil, invalid("template_content", "needs a template_name beside it")
	}
	if err := checkFields("", body, documented); err != nil {
		return nil, err
	}
	r := &Request{body: body}
	if r.message, ok = body["message"].(map[string]any); !ok {
		return nil, invalid("message", "is missing")
	}
	for _, check := range []func(*Policy) error{
		r.takeDelivery, r.checkTemplate, r.checkSendAt, r.checkSender, r.checkRecipients, r.checkHeaders,
		r.checkTags, r.checkMetadata, r.checkMergeVars, r.checkFiles,
	} {
		if err := check(p); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// takeDelivery takes off what is not for Mandrill.
func (r *Request) takeDelivery(*Policy) error {
	_, r.hadKey = r.body["key"]
	delete(r.body, "key")
	delivery, _ := r.body["delivery"].(map[string]any)
	delete(r.body, "delivery")
	r.key, _ = delivery["idempotency_key"].(string)
	if expiresIn, given := delivery["expires_in"].(string); given {
		var err error
		if r.expiresIn, err = time.ParseDuration(expiresIn); err != nil || r.expiresIn <= 0 {
			return invalid("delivery.expires_in", "must be a duration of more than 0, such as \"15m\"")
		}
	}
	return nil
}

func (r *Request) checkTemplate(*Policy) error {
	name, isTemplate := r.body["template_name"]
	if !isTemplate {
		return nil
	}
	if name == nil || name == "" {
		return invalid("template_name", "is empty")
	}
	if r.body["template_content"] == nil {
		r.body["template_content"] = []any{}
	}
	return nil
}

func (r *Request) checkSendAt(*Policy) error {
	sendAt, given := r.body["send_at"].(string)
	if !given {
		return nil
	}
	if _, err := time.Parse(time.DateTime, sendAt); err != nil {
		return invalid("send_at", "must be UTC as YYYY-MM-DD HH:MM:SS")
	}
	return nil
}

func (r *Request) checkSender(p *Policy) error {
	m := r.message
	from, _ := m["from_email"].(string)
	if from == "" {
		if p.fromEmail == "" {
			return invalid("message.from_email", "is missing, and the configuration has no from")
		}
		from = p.fromEmail
		m["from_email"] = from
		if name, _ := m["from_name"].(string); name == "" && p.fromName != "" {
			m["from_name"] = p.fromName
		}
	}
	domain, err := domainOf(from)
	if err != nil {
		return invalid("message.from_email", "%v", err)
	}
	if !p.allows(domain) {
		return invalid("message.from_email", "its domain %s is not one of sender_domain", domain)
	}
	r.senderDomain = domain
	for _, field := range []string{"return_path_domain", "signing_domain"} {
		named, _ := m[field].(string)
		if named == "" {
			continue
		}
		if domain, err := NormalizeDomain(named); err != nil || !p.allows(domain) {
			return invalid("message."+field, "is not one of sender_domain")
		}
	}
	cleanField(m, "from_name")
	cleanField(m, "subject")
	if subject, _ := m["subject"].(string); utf8.RuneCountInString(subject) > maxSubject {
		return invalid("message.subject", "has more than %d characters", maxSubject)
	}
	return nil
}

func (r *Request) checkRecipients(*Policy) error {
	recipients := objects(r.message, "to")
	if len(recipients) == 0 {
		return invalid("message.to", "has no recipient")
	}
	for i, to := range recipients {
		path := fmt.Sprintf("message.to[%d]", i)
		address, _ := to["email"].(string)
		if address == "" {
			return invalid(path+".email", "is missing")
		}
		if _, err := domainOf(address); err != nil {
			return invalid(path+".email", "%v", err)
		}
		if kind, given := to["type"].(string); given && !slices.Contains([]string{"to", "cc", "bcc"}, kind) {
			return invalid(path+".type", "must be to, cc or bcc")
		}
		cleanField(to, "name")
	}
	if address, _ := r.message["bcc_address"].(string); address != "" {
		if _, err := domainOf(address); err != nil {
			return invalid("message.bcc_address", "%v", err)
		}
	}
	return nil
}

func (r *Request) checkHeaders(*Policy) error {
	headers, _ := r.message["headers"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		path := "message.headers." + quoteKey(name)
		if !httpguts.ValidHeaderFieldName(name) {
			return invalid(path, "is not a header's name")
		}
		switch strings.ToLower(name) {
		case "from", "sender", "return-path":
			return invalid(path, "is not allowed: the sender is from_email")
		}
		switch headers[name].(type) {
		case []any, map[string]any:
			return wrongType(path, "a string", headers[name])
		}
		cleanField(headers, name)
	}
	return nil
}

func (r *Request) checkTags(*Policy) error {
	tags, _ := r.message["tags"].([]any)
	for i, tag := range tags {
		path := fmt.Sprintf("message.tags[%d]", i)
		tag := tag.(string)
		if strings.HasPrefix(tag, "_") {
			return invalid(path, "begins with an underscore, which Mandrill keeps for itself")
		}
		if utf8.RuneCountInString(tag) > maxTag {
			return invalid(path, "has more than %d characters", maxTag)
		}
	}
	switch campaign := r.message["google_analytics_campaign"].(type) {
	case nil, string, []any:
	default:
		return wrongType("message.google_analytics_campaign", "a string", campaign)
	}
	return nil
}

func (r *Request) checkMetadata(*Policy) error {
	metadata, _ := r.message["metadata"].(map[string]any)
	if err := checkMetadata("message.metadata", metadata); err != nil {
		return err
	}
	for i, recipient := range objects(r.message, "recipient_metadata") {
		values, _ := recipient["values"].(map[string]any)
		if err := checkMetadata(fmt.Sprintf("message.recipient_metadata[%d].values", i), values); err != nil {
			return err
		}
	}
	return nil
}

func checkMetadata(path string, metadata map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		switch metadata[name].(type) {
		case []any, map[string]any:
			return wrongType(path+"."+quoteKey(name), "a string, a number, a boolean or null", metadata[name])
		}
	}
	if size := metadataSize(metadata); size > maxMetadata {
		return invalid(path, "has %d bytes as JSON, Mandrill takes %d", size, maxMetadata)
	}
	return nil
}

func metadataSize(metadata map[string]any) int {
	encoded, err := encode(metadata)
	if err != nil {
		return maxMetadata + 1
	}
	return len(encoded)
}

func (r *Request) checkMergeVars(*Policy) error {
	language, given := r.message["merge_language"].(string)
	if given && language != "mailchimp" && language != "handlebars" {
		return invalid("message.merge_language", "must be mailchimp or handlebars")
	}
	if err := checkNames("message.global_merge_vars", objects(r.message, "global_merge_vars")); err != nil {
		return err
	}
	for i, recipient := range objects(r.message, "merge_vars") {
		if err := checkNames(fmt.Sprintf("message.merge_vars[%d].vars", i), objects(recipient, "vars")); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(path string, vars []map[string]any) error {
	for i, variable := range vars {
		name, _ := variable["name"].(string)
		if name == "" {
			return invalid(fmt.Sprintf("%s[%d].name", path, i), "is missing")
		}
		if strings.HasPrefix(name, "_") {
			return invalid(fmt.Sprintf("%s[%d].name", path, i), "begins with an underscore, which Mandrill keeps for itself")
		}
	}
	return nil
}

func (r *Request) checkFiles(*Policy) error {
	for _, field := range []string{"attachments", "images"} {
		for i, file := range objects(r.message, field) {
			content, _ := file["content"].(string)
			if _, err := base64.StdEncoding.DecodeString(content); err != nil {
				return invalid(fmt.Sprintf("message.%s[%d].content", field, i), "must be base64")
			}
			cleanField(file, "name")
			cleanField(file, "type")
		}
	}
	return nil
}

// objects returns a field's elements, of which checkFields made sure that they are objects.
func objects(parent map[string]any, field string) []map[string]any {
	array, _ := parent[field].([]any)
	elements := make([]map[string]any, len(array))
	for i, element := range array {
		elements[i] = element.(map[string]any)
	}
	return elements
}

// cleanField cleans a string that is bound for a header.
func cleanField(object map[string]any, field string) {
	if s, ok := object[field].(string); ok && strings.ContainsAny(s, "\r\n\x00") {
		object[field] = cleanHeader(s)
	}
}

// HadKey tells whether the template named a key, which is ignored.
func (r *Request) HadKey() bool { return r.hadKey }

// IdempotencyKey is what the template says that the message's key is, or empty.
func (r *Request) IdempotencyKey() string { return r.key }

// ExpiresIn is how long the message is of use, or 0 where the template doesn't say.
func (r *Request) ExpiresIn() time.Duration { return r.expiresIn }

// SenderDomain is the domain of from_email, normalized.
func (r *Request) SenderDomain() string { return r.senderDomain }

// Recipients returns the addresses of all recipients, as they were written.
func (r *Request) Recipients() []string {
	var addresses []string
	for _, to := range objects(r.message, "to") {
		address, _ := to["email"].(string)
		addresses = append(addresses, address)
	}
	return addresses
}

// Private tells whether the content is not to be kept: view_content_link is false.
func (r *Request) Private() bool {
	link, given := r.message["view_content_link"].(bool)
	return given && !link
}

// SetMetadata adds a field to the message's metadata, and tells whether there was room and the name
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

// endpoint is the path of the call below the API's base.
func (r *Request) endpoint() string {
	if _, isTemplate := r.body["template_name"]; isTemplate {
		return "messages/send-template"
	}
	return "messages/send"
}

// MarshalJSON returns the body as it is sent, but for the key.
func (r *Request) MarshalJSON() ([]byte, error) { return encode(r.body) }

// UnmarshalJSON restores a request from what MarshalJSON returned. It doesn't check it again.
func (r *Request) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var body map[string]any
	if err := decoder.Decode(&body); err != nil {
		return err
	}
	// The types of what is read from a restored request.
	if err := checkFields("", body, reflect.TypeFor[templateBody]()); err != nil {
		return err
	}
	message, _ := body["message"].(map[string]any)
	*r = Request{body: body, message: message}
	if from, _ := message["from_email"].(string); from != "" {
		r.senderDomain, _ = domainOf(from)
	}
	return nil
}

// encode is json.Marshal without the escaping of HTML, which would only make mails larger.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
