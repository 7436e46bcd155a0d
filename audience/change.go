package audience

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// A Change is what an audience is to know of a person. It is made by NewChange, and restored from its JSON by
// json.Unmarshal.
type Change struct {
	// Email is the person's address, or empty where Archive is all.
	Email string
	// StatusIfNew is what an address becomes that isn't in the audience: "subscribed", "pending" (Mailchimp asks the
	// person first), "unsubscribed" or "transactional". Without it, an address that isn't there isn't added.
	StatusIfNew string
	// MergeFields are values by merge tags.
	MergeFields map[string]any
	// Interests are those that are on and off, by their ids.
	Interests map[string]any
	// Language is a code such as "de".
	Language string
	Tags     []Tag
	// Archive is an address that the person leaves: the one before, or the only one.
	Archive string

	key       string
	expiresIn time.Duration
}

// Tag is a tag that a person gets or loses.
type Tag struct {
	Name string `json:"name"`
	// Status is "active" or "inactive".
	Status string `json:"status"`
}

// fields are what a template may return, and what Mailchimp may find wrong.
var fields = []string{
	"archive", "delivery", "email_address", "interests", "language", "merge_fields", "status_if_new", "tags",
}

var statusesIfNew = []string{"subscribed", "pending", "unsubscribed", "transactional"}

// ParseChange is NewChange of JSON.
func ParseChange(data []byte) (*Change, error) {
	object, err := mailchimp.DecodeObject(data, "the change")
	if err != nil {
		return nil, err
	}
	return NewChange(object)
}

// NewChange checks what a template returned, as encoding/json decodes it with UseNumber. Errors are *InvalidError.
func NewChange(object map[string]any) (*Change, error) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch {
		case name == "status":
			return nil, mailchimp.Invalid(name, "would subscribe people who had unsubscribed: write status_if_new")
		case name == "message":
			return nil, mailchimp.Invalid(name, "makes it a mail, which is for mailchimp_hook")
		case !slices.Contains(fields, name):
			return nil, mailchimp.UnknownField("", name, fields)
		}
	}
	c := new(Change)
	for _, read := range []func(map[string]any) error{
		c.readAddresses, c.readStatus, c.readFields, c.readInterests, c.readTags, c.readDelivery,
	} {
		if err := read(object); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Addresses are those that the change is about.
func (c *Change) Addresses() []string {
	var addresses []string
	if c.Email != "" {
		addresses = append(addresses, c.Email)
	}
	if c.leaves() {
		addresses = append(addresses, c.Archive)
	}
	return addresses
}

// leaves reports whether the person leaves an address. Case doesn't count.
func (c *Change) leaves() bool { return c.Archive != "" && hash(c.Archive) != hash(c.Email) }

// IdempotencyKey is what the template says that the change's key is, or empty.
func (c *Change) IdempotencyKey() string { return c.key }

// ExpiresIn is how long the change is of use, or 0 where the template doesn't say.
func (c *Change) ExpiresIn() time.Duration { return c.expiresIn }

// MarshalJSON returns the change as a template returns it, without what it said of the delivery.
func (c *Change) MarshalJSON() ([]byte, error) {
	object := make(map[string]any)
	for name, value := range map[string]any{
		"email_address": c.Email, "status_if_new": c.StatusIfNew, "merge_fields": c.MergeFields, "interests": c.Interests,
		"language": c.Language, "tags": c.Tags, "archive": c.Archive,
	} {
		if !empty(value) {
			object[name] = value
		}
	}
	return mailchimp.Encode(object)
}

// UnmarshalJSON restores a change from what MarshalJSON returned.
func (c *Change) UnmarshalJSON(data []byte) error {
	restored, err := ParseChange(data)
	if err == nil {
		*c = *restored
	}
	return err
}

func empty(value any) bool {
	switch value := value.(type) {
	case string:
		return value == ""
	case map[string]any:
		return len(value) == 0
	case []Tag:
		return len(value) == 0
	}
	return value == nil
}

func (c *Change) readAddresses(object map[string]any) error {
	for _, field := range []struct {
		name string
		to   *string
	}{{"email_address", &c.Email}, {"archive", &c.Archive}} {
		if err := readString(object, "", field.name, field.to); err != nil {
			return err
		}
		if *field.to != "" && !isAddress(*field.to) {
			return mailchimp.Invalid(field.name, "must be an e-mail address such as ada@example.com, without a name")
		}
	}
	if c.Email != "" {
		return nil
	}
	if c.Archive == "" {
		return mailchimp.Invalid("email_address", "is missing")
	}
	for _, name := range []string{"interests", "language", "merge_fields", "status_if_new", "tags"} {
		if object[name] != nil {
			return mailchimp.Invalid(name, "needs an email_address beside it: archive alone takes an address out")
		}
	}
	return nil
}

func (c *Change) readStatus(object map[string]any) error {
	if err := readString(object, "", "status_if_new", &c.StatusIfNew); err != nil {
		return err
	}
	if c.StatusIfNew != "" && !slices.Contains(statusesIfNew, c.StatusIfNew) {
		return mailchimp.Invalid("status_if_new", "must be %s or %s", strings.Join(statusesIfNew[:3], ", "), statusesIfNew[3])
	}
	return nil
}

var language = regexp.MustCompile(`^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,4})?$`)

func (c *Change) readFields(object map[string]any) error {
	if err := readString(object, "", "language", &c.Language); err != nil {
		return err
	}
	if c.Language != "" && !language.MatchString(c.Language) {
		return mailchimp.Invalid("language", "must be a code such as de or pt_PT")
	}
	return readObject(object, "merge_fields", &c.MergeFields)
}

func (c *Change) readInterests(object map[string]any) error {
	if err := readObject(object, "interests", &c.Interests); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(c.Interests)) {
		if _, ok := c.Interests[id].(bool); !ok {
			return mailchimp.QuotingKey(id,
				mailchimp.WrongType("interests."+mailchimp.QuoteKey(id), "a boolean", c.Interests[id]))
		}
	}
	return nil
}

// maxTag is the length of a tag, in characters.
const maxTag = 100

func (c *Change) readTags(object map[string]any) error {
	list, ok := object["tags"].([]any)
	if !ok && object["tags"] != nil {
		return mailchimp.WrongType("tags", "an array", object["tags"])
	}
	for i, element := range list {
		path := fmt.Sprintf("tags[%d]", i)
		tag := Tag{Status: "active"}
		switch element := element.(type) {
		case string:
			tag.Name = element
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(element)) {
				if name != "name" && name != "status" {
					return mailchimp.UnknownField(path, name, []string{"name", "status"})
				}
			}
			if err := readString(element, path, "name", &tag.Name); err != nil {
				return err
			}
			if err := readString(element, path, "status", &tag.Status); err != nil {
				return err
			}
		default:
			return mailchimp.WrongType(path, "a string", element)
		}
		switch {
		case tag.Name == "":
			return mailchimp.Invalid(path, "is empty")
		case utf8.RuneCountInString(tag.Name) > maxTag:
			return mailchimp.Invalid(path, "has more than %d characters", maxTag)
		case tag.Status != "active" && tag.Status != "inactive":
			return mailchimp.Invalid(path+".status", "must be active or inactive")
		}
		c.Tags = append(c.Tags, tag)
	}
	return nil
}

func (c *Change) readDelivery(object map[string]any) error {
	var delivery map[string]any
	if err := readObject(object, "delivery", &delivery); err != nil {
		return err
	}
	known := []string{"expires_in", "idempotency_key"}
	for _, name := range slices.Sorted(maps.Keys(delivery)) {
		if !slices.Contains(known, name) {
			return mailchimp.UnknownField("delivery", name, known)
		}
	}
	expiresIn := ""
	if err := readString(delivery, "delivery", "idempotency_key", &c.key); err != nil {
		return err
	}
	if err := readString(delivery, "delivery", "expires_in", &expiresIn); err != nil {
		return err
	}
	var err error
	c.expiresIn, err = mailchimp.ExpiresIn(expiresIn, "24h")
	return err
}
