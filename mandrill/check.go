package mandrill

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

const (
	// maxMetadata is the size of metadata as JSON, in bytes.
	maxMetadata = 250
	maxTag      = 50
	maxSubject  = 998
)

// The checks below run after checkFields, which made sure of the types. An empty string stands for a
// field that is left out, as in the samples of Mailchimp's documentation.

// takeDelivery takes off what is not for Mandrill.
func (r *Request) takeDelivery() error {
	_, r.hadKey = r.body["key"]
	delete(r.body, "key")
	delivery, _ := r.body["delivery"].(map[string]any)
	delete(r.body, "delivery")
	r.key, _ = delivery["idempotency_key"].(string)
	expiresIn, _ := delivery["expires_in"].(string)
	var err error
	r.expiresIn, err = mailchimp.ExpiresIn(expiresIn, "15m")
	return err
}

func (r *Request) checkTemplate() error {
	name, isTemplate := r.body["template_name"]
	if !isTemplate {
		return nil
	}
	if name == "" {
		return mailchimp.Invalid("template_name", "is empty")
	}
	if r.body["template_content"] == nil {
		r.body["template_content"] = []any{}
	}
	return nil
}

func (r *Request) checkSendAt() error {
	sendAt, given := r.body["send_at"].(string)
	if !given || sendAt == "" {
		return nil
	}
	// Parsing alone would let fractions of a second through.
	if at, err := time.Parse(time.DateTime, sendAt); err != nil || at.Format(time.DateTime) != sendAt {
		return mailchimp.Invalid("send_at", "must be UTC as YYYY-MM-DD HH:MM:SS")
	}
	return nil
}

func (r *Request) checkSender(p *Policy) error {
	m := r.message
	from, _ := m["from_email"].(string)
	if from == "" {
		if p.fromEmail == "" {
			return mailchimp.Invalid("message.from_email", "is missing, and the configuration has no from")
		}
		from = p.fromEmail
		m["from_email"] = from
		if name, _ := m["from_name"].(string); name == "" && p.fromName != "" {
			m["from_name"] = p.fromName
		}
	}
	sender, domain, err := senderOf(from)
	if err != nil {
		return mailchimp.Invalid("message.from_email", "%v", withHint(err, "the name is from_name"))
	}
	if !p.Allows(domain) {
		return mailchimp.Quoting(from, domain,
			mailchimp.Invalid("message.from_email", "its domain %s is not one of sender_domain", domain))
	}
	m["from_email"], r.senderDomain = sender, domain
	for _, field := range []string{"return_path_domain", "signing_domain"} {
		named, _ := m[field].(string)
		if named == "" {
			continue
		}
		domain, err := NormalizeDomain(named)
		if err != nil || !p.Allows(domain) {
			return mailchimp.Invalid("message."+field, "is not one of sender_domain")
		}
		m[field] = domain
	}
	return nil
}

func (r *Request) checkContent() error {
	cleanField(r.message, "from_name")
	cleanField(r.message, "subject")
	if subject, _ := r.message["subject"].(string); utf8.RuneCountInString(subject) > maxSubject {
		return mailchimp.Invalid("message.subject", "has more than %d characters", maxSubject)
	}
	switch campaign := r.message["google_analytics_campaign"].(type) {
	case nil, string:
	case []any:
		for i, name := range campaign {
			if _, ok := name.(string); !ok {
				return mailchimp.WrongType(fmt.Sprintf("message.google_analytics_campaign[%d]", i), "a string", name)
			}
		}
	default:
		return mailchimp.WrongType("message.google_analytics_campaign", "a string", campaign)
	}
	return nil
}

func (r *Request) checkHeaders() error {
	headers, _ := r.message["headers"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if err := checkHeader("message.headers."+mailchimp.QuoteKey(name), name, headers[name]); err != nil {
			return mailchimp.QuotingKey(name, err)
		}
		cleanField(headers, name)
	}
	return nil
}

func checkHeader(path, name string, value any) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return mailchimp.Invalid(path, "is not a header's name")
	}
	switch strings.ToLower(name) {
	case "from", "sender", "return-path":
		return mailchimp.Invalid(path, "is not allowed: the sender is from_email")
	}
	switch value.(type) {
	case []any, map[string]any:
		return mailchimp.WrongType(path, "a string", value)
	}
	return nil
}

func (r *Request) checkTags() error {
	tags, _ := r.message["tags"].([]any)
	for i, tag := range tags {
		path := fmt.Sprintf("message.tags[%d]", i)
		tag := tag.(string)
		if strings.HasPrefix(tag, "_") {
			return mailchimp.Invalid(path, "begins with an underscore, which Mandrill keeps for itself")
		}
		if utf8.RuneCountInString(tag) > maxTag {
			return mailchimp.Invalid(path, "has more than %d characters", maxTag)
		}
	}
	return nil
}

func (r *Request) checkMetadata() error {
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
	if len(metadata) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		switch metadata[name].(type) {
		case []any, map[string]any:
			return mailchimp.QuotingKey(name,
				mailchimp.WrongType(path+"."+mailchimp.QuoteKey(name), "a string, a number, a boolean or null", metadata[name]))
		}
	}
	if size := metadataSize(metadata); size > maxMetadata {
		return mailchimp.Invalid(path, "has %d bytes as JSON, Mandrill takes %d", size, maxMetadata)
	}
	return nil
}

func metadataSize(metadata map[string]any) int {
	encoded, err := mailchimp.Encode(metadata)
	if err != nil {
		return maxMetadata + 1
	}
	return len(encoded)
}

func (r *Request) checkMergeVars() error {
	language, _ := r.message["merge_language"].(string)
	if !slices.Contains([]string{"", "mailchimp", "handlebars"}, language) {
		return mailchimp.Invalid("message.merge_language", "must be mailchimp or handlebars")
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
			return mailchimp.Invalid(fmt.Sprintf("%s[%d].name", path, i), "is missing")
		}
		if strings.HasPrefix(name, "_") {
			return mailchimp.Invalid(fmt.Sprintf("%s[%d].name", path, i),
				"begins with an underscore, which Mandrill keeps for itself")
		}
	}
	return nil
}

func (r *Request) checkFiles() error {
	for _, field := range []string{"attachments", "images"} {
		for i, file := range objects(r.message, field) {
			content, _ := file["content"].(string)
			if _, err := base64.StdEncoding.DecodeString(content); err != nil {
				return mailchimp.Invalid(fmt.Sprintf("message.%s[%d].content", field, i), "%s", notBase64(content))
			}
			cleanField(file, "name")
			cleanField(file, "type")
			if kind, _ := file["type"].(string); field == "images" && kind != "" &&
				!strings.HasPrefix(strings.ToLower(kind), "image/") {
				return mailchimp.Invalid(fmt.Sprintf("message.images[%d].type", i), "must begin with image/")
			}
		}
	}
	return nil
}

// notBase64 says what to do with content that is not base64 as Mandrill wants it.
func notBase64(content string) string {
	const wanted = "must be base64"
	if _, encoded, isURL := strings.Cut(content, ";base64,"); isURL && strings.HasPrefix(content, "data:") {
		if _, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return wanted + " alone: leave out what stands before it, data:…;base64,"
		}
	}
	if _, err := base64.RawStdEncoding.DecodeString(content); err == nil {
		return wanted + " with its padding: = at the end"
	}
	unpadded := strings.TrimRight(content, "=")
	if _, err := base64.RawURLEncoding.DecodeString(unpadded); err == nil {
		return wanted + " with + and /, not with - and _ as in URLs"
	}
	return wanted
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
